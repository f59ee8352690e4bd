//! `--format`: Go templates, tables of them, and JSON, as Docker has them.

use std::collections::BTreeMap;
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

/// The field, never shown, with what `{{.Label "NAME"}}` looks in; `null` in the line of headers.
pub const LABELS: &str = "_labels";

/// What a list looks like.
pub struct List<'a> {
    /// All fields that a template may use, with their headers.
    pub columns: &'a [Column],
    /// The fields of the table that is shown without `--format`.
    pub default: &'a [&'a str],
}

impl List<'_> {
    /// The rows in the form that `--format` asks for.
    pub fn render(&self, format: Option<&str>, rows: &[Row]) -> Result<String, Box<dyn Error>> {
        let Some(format) = format.filter(|format| *format != "table") else {
            return Ok(table(&self.plain(rows)));
        };
        let format = unescaped(format);
        if format == "json" {
            let lines = rows.iter().map(|row| Ok(serde_json::to_string(&sorted(row))? + "\n"));
            return lines.collect();
        }
        let Some(columns) = format.strip_prefix("table ") else {
            let template = parse(&format)?;
            let lines = rows.iter().map(|row| Ok(execute(&template, row)? + "\n"));
            return lines.collect();
        };
        let template = parse(columns)?;
        let headers = self.columns.iter().map(|column| (column.field.to_owned(), column.header.into()));
        let headers: Row = headers.chain([(LABELS.to_owned(), Json::Null)]).collect();
        let mut lines = vec![execute(&template, &headers)?];
        for row in rows {
            lines.push(execute(&template, row)?);
        }
        Ok(table(&lines))
    }

    /// The lines of the table that is shown without `--format`: no template is needed for them.
    fn plain(&self, rows: &[Row]) -> Vec<String> {
        let header = |field: &&str| {
            let column = self.columns.iter().find(|column| column.field == *field);
            column.map_or_else(|| field.to_uppercase(), |column| column.header.to_owned())
        };
        let cell = |row: &Row, field: &str| match row.get(field) {
            Some(Json::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        };
        let headers = self.default.iter().map(header).collect::<Vec<_>>().join("\t");
        let lines = rows
            .iter()
            .map(|row| self.default.iter().map(|field| cell(row, field)).collect::<Vec<_>>().join("\t"));
        std::iter::once(headers).chain(lines).collect()
    }
}

/// Fields in the order of their names, as Go writes its maps, without those that are never shown.
fn sorted(row: &Row) -> BTreeMap<&String, &Json> {
    row.iter().filter(|(name, _)| !name.starts_with('_')).collect()
}

/// Tabs and line breaks as they are written on command lines.
fn unescaped(format: &str) -> String {
    format.replace("\\t", "\t").replace("\\n", "\n")
}

/// One value through a template; `json` prints all of it.
pub fn one(format: &str, value: &impl serde::Serialize) -> Result<String, Box<dyn Error>> {
    if format == "json" {
        return Ok(serde_json::to_string(value)? + "\n");
    }
    Ok(execute(&parse(&unescaped(format))?, value)? + "\n")
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
    aligned(lines, MIN_WIDTH)
}

/// The same with columns of at least this width.
pub fn aligned(lines: &[String], min_width: usize) -> String {
    let cells: Vec<Vec<&str>> = lines.iter().map(|line| line.split('\t').collect()).collect();
    let columns = cells.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        let longest = cells.iter().filter(|row| row.len() > at + 1).map(|row| row[at].chars().count()).max();
        (longest.unwrap_or(0) + PADDING).max(min_width)
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
    let template = template.func("label", label);
    // A method with an argument, which maps don't have.
    let rewritten = source.replace(".Label \"", "label . \"");
    template.parse(&rewritten).map_err(|error| format!("--format {source:?}: {error}").into())
}

/// `{{.Label "com.example.my-key"}}`: its value, or `my key` in the headers.
fn label(args: &[Value]) -> Result<Value, TemplateError> {
    let name = text(args, 1)?;
    let shown = match argument(args, 0)?.field(LABELS) {
        Some(Value::Map(labels)) => labels.get(name.as_str()).map(ToString::to_string).unwrap_or_default(),
        _ => name.rsplit('.').next().unwrap_or_default().replace(['-', '_'], " "),
    };
    Ok(Value::String(shown.into()))
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
            let shown = map.iter().filter(|(key, _)| !key.starts_with('_'));
            Json::Object(shown.map(|(key, value)| (key.to_string(), to_json(value))).collect())
        }
        _ => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: List<'_> = List {
        columns: &[Column { header: "IMAGE ID", field: "ID" }, Column { header: "TAG", field: "Tag" }],
        default: &["ID", "Tag"],
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
    fn labels_are_looked_up_and_headed_by_their_last_word() {
        let mut row = rows().remove(0);
        row.insert(LABELS.to_owned(), serde_json::json!({ "org.my-team": "blue" }));
        let shown = LIST.render(Some("table {{.Label \"org.my-team\"}}\t{{.ID}}"), &[row.clone()]).unwrap();
        assert_eq!(shown, "my team   IMAGE ID\nblue      1\n");
        assert_eq!(LIST.render(Some("{{.Label \"other\"}}"), &[row.clone()]).unwrap(), "\n");
        assert_eq!(LIST.render(Some("json"), &[row]).unwrap(), "{\"ID\":\"1\",\"Tag\":\"latest\"}\n");
    }

    #[test]
    fn mistakes_in_templates_are_told() {
        assert!(LIST.render(Some("{{.Nope}}"), &rows()).is_err());
        assert!(LIST.render(Some("{{.ID"), &rows()).unwrap_err().to_string().contains("{{.ID"));
    }
}
