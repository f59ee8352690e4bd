//! Plain text tables: a line of headings, columns two spaces apart, as the util-linux tools print them.

use std::fmt;

/// A table under construction.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

#[derive(Debug, Clone, Copy)]
struct Column {
    heading: &'static str,
    align: Align,
}

/// To which side a column's cells go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// For words.
    Left,
    /// For numbers.
    Right,
}

impl Table {
    /// An empty table with these columns.
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        let columns = columns.iter().map(|&(heading, align)| Column { heading, align }).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row, which has a cell for each column.
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    /// The table without its line of headings.
    pub fn body(&self) -> String {
        let widths = self.widths(false);
        self.rows.iter().map(|row| self.line(row.iter().map(String::as_str), &widths)).collect()
    }

    /// The table with one space between cells, white space in them as `\x20`, and empty ones as `-`.
    pub fn raw(&self, headings: bool) -> String {
        let cell = |text: &str| match text {
            "" => "-".to_owned(),
            text => text.replace('\\', "\\x5c").replace(' ', "\\x20"),
        };
        let line = |cells: Vec<String>| cells.join(" ") + "\n";
        let heading = self.columns.iter().map(|column| cell(column.heading)).collect();
        let rows = self.rows.iter().map(|row| row.iter().map(|text| cell(text)).collect());
        headings.then_some(heading).into_iter().chain(rows).map(line).collect()
    }

    fn widths(&self, headings: bool) -> Vec<usize> {
        let heading = |column: &Column| if headings { column.heading.len() } else { 0 };
        let widest = |(index, column): (usize, &Column)| {
            self.rows.iter().map(|row| row[index].chars().count()).max().unwrap_or(0).max(heading(column))
        };
        self.columns.iter().enumerate().map(widest).collect()
    }

    fn line<'cell>(&self, cells: impl Iterator<Item = &'cell str>, widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, column), &width) in cells.zip(&self.columns).zip(widths) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            match column.align {
                Align::Left => line.push_str(&format!("{cell:<width$}")),
                Align::Right => line.push_str(&format!("{cell:>width$}")),
            }
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths(true);
        formatter.write_str(&self.line(self.columns.iter().map(|column| column.heading), &widths))?;
        self.rows
            .iter()
            .try_for_each(|row| formatter.write_str(&self.line(row.iter().map(String::as_str), &widths)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&[("PID", Align::Right), ("NAME", Align::Left), ("X", Align::Left)]);
        table.row(vec!["1".into(), "größe und".into(), "".into()]);
        table.row(vec!["12345".into(), "a".into(), "y".into()]);
        assert_eq!(table.to_string(), "  PID  NAME       X\n    1  größe und\n12345  a          y\n");
        assert_eq!(table.body(), "    1  größe und\n12345  a          y\n");
        assert_eq!(table.raw(true), "PID NAME X\n1 größe\\x20und -\n12345 a y\n");
    }
}
