//! `--format`: Go templates, tables of them, and JSON, as Docker has them.

use std::error::Error;

use gotmpl::{MissingKey, Template, TemplateError, Value, to_value};
use serde_json::{Map, Number, Value as Json};

/// The least width of a column, and the least distance to the next.
const MIN_WIDTH: usize = 10;
const PADDING: usize = 3;

/// A column of a table: its header, and the field that is in it.
pub struct Column {
    /// In capitals.
    pub header: &'static str,
    /// The name in templates.
    pub field: &'static str,
}

/// A line, by the names that templates use.
pub type Row = Map<String, Json>;

/// What a list looks like.
pub struct List<'a> {
    /// All fields that a template may use, with their headers.
    pub columns: &'a [Column],
    /// The template of the table that is shown without `--format`.
    pub default: &'a str,
}

impl List<'_> {
    /// The rows in the form that `--format` asks for.
    pub fn render(&self, format: Option<&str>, rows: &[Row]) -> Result<String, Box<dyn Error>> {
        let format = match format {
            None | Some("table") => format!("table {}", self.default),
            Some(format) => format.replace("\\t", "\t").replace("\\n", "\n"),
        };
        if format == "json" {
            let lines = rows.iter().map(|row| Ok(serde_json::to_string(row)? + "\n"));
            return lines.collect();
        }
        let Some(columns) = format.strip_prefix("table ") else {
            let template = parse(&format)?;
            let lines = rows.iter().map(|row| Ok(execute(&template, row)? + "\n"));
            return lines.collect();
        };
        let template = parse(columns)?;
        let headers: Row =
            self.columns.iter().map(|column| (column.field.to_owned(), column.header.into())).collect();
        let mut lines = vec![execute(&template, &headers)?];
        for row in rows {
            lines.push(execute(&template, row)?);
        }
        Ok(table(&lines))
    }
}

/// One value through a template; `json` prints all of it.
pub fn one(format: &str, value: &impl serde::Serialize) -> Result<String, Box<dyn Error>> {
    if format == "json" {
        return Ok(serde_json::to_string(value)? + "\n");
    }
    let template = parse(&format.replace("\\t", "\t").replace("\\n", "\n"))?;
    Ok(execute(&template, value)? + "\n")
}

/// A document as Docker prints it: JSON, indented by four spaces.
pub fn pretty(value: &impl serde::Serialize) -> serde_json::Result<String> {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))?;
    text.push(b'\n');
    Ok(String::from_utf8(text).expect("JSON is UTF-8"))
}

/// Aligns the cells of lines, which tabs separate.
pub fn table(lines: &[String]) -> String {
    let cells: Vec<Vec<&str>> = lines.iter().map(|line| line.split('\t').collect()).collect();
    let columns = cells.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        let longest = cells.iter().filter(|row| row.len() > at + 1).map(|row| row[at].chars().count()).max();
        (longest.unwrap_or(0) + PADDING).max(MIN_WIDTH)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &cells {
        for (at, cell) in row.iter().enumerate() {
            text += cell;
            if at + 1 < row.len() {
                text.extend(std::iter::repeat_n(' ', widths[at] - cell.chars().count()));
            }
        }
        text += "\n";
    }
    text
}

fn parse(source: &str) -> Result<Template, Box<dyn Error>> {
    let template = Template::new("format")
        .missing_key(MissingKey::Error)
        .func("json", |args| Ok(Value::String(to_json(argument(args, 0)?).to_string().into())))
        .func("upper", |args| Ok(Value::String(text(args, 0)?.to_uppercase().into())))
        .func("lower", |args| Ok(Value::String(text(args, 0)?.to_lowercase().into())))
        .func("title", |args| Ok(Value::String(title(&text(args, 0)?).into())))
        .func("join", |args| {
            let Json::Array(parts) = to_json(argument(args, 0)?) else {
                return Err(TemplateError::Exec("join: wants a list".to_owned()));
            };
            let parts: Vec<String> = parts
                .iter()
                .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
                .collect();
            Ok(Value::String(parts.join(&text(args, 1)?).into()))
        })
        .func("split", |args| {
            let (whole, separator) = (text(args, 0)?, text(args, 1)?);
            Ok(Value::List(whole.split(&separator).map(|part| Value::String(part.into())).collect()))
        })
        .func("truncate", |args| {
            let length = argument(args, 1)?.as_int().unwrap_or(0).max(0) as usize;
            Ok(Value::String(text(args, 0)?.chars().take(length).collect::<String>().into()))
        });
    template.parse(source).map_err(|error| format!("--format {source:?}: {error}").into())
}

fn execute(template: &Template, value: &impl serde::Serialize) -> Result<String, Box<dyn Error>> {
    Ok(template.execute_to_string(&to_value(value)?).map_err(|error| format!("--format: {error}"))?)
}

fn argument(args: &[Value], at: usize) -> Result<&Value, TemplateError> {
    args.get(at).ok_or_else(|| TemplateError::Exec("too few arguments".to_owned()))
}

fn text(args: &[Value], at: usize) -> Result<String, TemplateError> {
    Ok(argument(args, at)?.to_string())
}

fn title(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::Number((*value).into()),
        Value::Uint(value) => Json::Number((*value).into()),
        Value::Float(value) => Number::from_f64(*value).map_or(Json::Null, Json::Number),
        Value::String(value) => Json::String(value.to_string()),
        Value::List(values) => Json::Array(values.iter().map(to_json).collect()),
        Value::Map(map) => {
            Json::Object(map.iter().map(|(key, value)| (key.to_string(), to_json(value))).collect())
        }
        _ => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: List<'_> = List {
        columns: &[Column { header: "IMAGE ID", field: "ID" }, Column { header: "TAG", field: "Tag" }],
        default: "{{.ID}}\t{{.Tag}}",
    };

    fn rows() -> Vec<Row> {
        ["1", "22222222222222"]
            .iter()
            .map(|id| Row::from_iter([("ID".to_owned(), (*id).into()), ("Tag".to_owned(), "latest".into())]))
            .collect()
    }

    #[test]
    fn tables_templates_and_json() {
        let render = |format: Option<&str>| LIST.render(format, &rows()).unwrap();
        assert_eq!(render(None), "IMAGE ID         TAG\n1                latest\n22222222222222   latest\n");
        assert_eq!(render(Some("table {{.Tag}}")), "TAG\nlatest\nlatest\n");
        assert_eq!(render(Some("{{.ID}}/{{upper .Tag}}")), "1/LATEST\n22222222222222/LATEST\n");
        assert_eq!(render(Some("json")).lines().next(), Some(r#"{"ID":"1","Tag":"latest"}"#));
        assert_eq!(render(Some("{{json .ID}}")), "\"1\"\n\"22222222222222\"\n");
    }

    #[test]
    fn mistakes_in_templates_are_told() {
        assert!(LIST.render(Some("{{.Nope}}"), &rows()).is_err());
        assert!(LIST.render(Some("{{.ID"), &rows()).unwrap_err().to_string().contains("{{.ID"));
    }
}
