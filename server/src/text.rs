//! The servers' JSON answers as text for people: `name  value` lines, and columns where an answer is a list of objects.

use std::fmt::Write;

use serde_json::{Map, Value};

/// A column is cut after so many characters.
const CELL_CHARACTERS_MAX: usize = 60;

/// `value` as lines, each ended.
pub(crate) fn of(value: &Value) -> String {
    let mut out = String::new();
    push(value, 0, &mut out);
    out
}

fn push(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(fields) => push_fields(fields, indent, out),
        Value::Array(values) if !values.is_empty() && values.iter().all(Value::is_object) => {
            push_columns(values, indent, out)
        }
        Value::Array(values) => values.iter().for_each(|value| push(value, indent, out)),
        scalar => line(indent, &plain(scalar), out),
    }
}

fn push_fields(fields: &Map<String, Value>, indent: usize, out: &mut String) {
    let width =
        fields.iter().filter(|(_, value)| is_scalar(value)).map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in fields {
        if is_scalar(value) {
            line(indent, &format!("{name:width$}  {}", plain(value)), out);
        } else if is_empty(value) {
            line(indent, &format!("{name:width$}  none"), out);
        } else {
            line(indent, name, out);
            push(value, indent + 2, out);
        }
    }
}

fn push_columns(rows: &[Value], indent: usize, out: &mut String) {
    let rows: Vec<Vec<(String, String)>> = rows.iter().map(flat).collect();
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in rows.iter().flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let of =
        |row: &[(String, String)], name: &String| row.iter().find(|(of, _)| of == name).map(|(_, cell)| cell.clone());
    let cells: Vec<Vec<String>> = std::iter::once(names.iter().map(|name| name.replace('_', " ")).collect())
        .chain(rows.iter().map(|row| names.iter().map(|name| of(row, name).unwrap_or_default()).collect()))
        .collect();
    let widths: Vec<usize> =
        (0..names.len()).map(|column| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    for row in cells {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        line(indent, padded.join("  ").trim_end(), out);
    }
}

/// An object's fields as (column, cell); the fields of an object in it are columns too, with its name in front.
fn flat(value: &Value) -> Vec<(String, String)> {
    let mut columns = Vec::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::Object(fields) => {
                columns.extend(fields.iter().map(|(inner, value)| (format!("{name} {inner}"), cell(value))));
            }
            value => columns.push((name.clone(), cell(value))),
        }
    }
    columns
}

fn line(indent: usize, text: &str, out: &mut String) {
    let _ = writeln!(out, "{:indent$}{text}", "");
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// A scalar in a column.
fn cell(value: &Value) -> String {
    let text = plain(value);
    match text.char_indices().nth(CELL_CHARACTERS_MAX) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text,
    }
}

fn is_scalar(value: &Value) -> bool {
    !matches!(value, Value::Object(_) | Value::Array(_))
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_lines_and_lists_of_objects_are_columns() {
        let answer = json!({
            "uptime_s": 3, "sources": [], "tables": [{"a_name": "readings", "rows": 10}, {"a_name": "x", "bytes": null}],
        });
        let expected =
            "sources   none\ntables\n  a name    rows  bytes\n  readings  10\n  x               -\nuptime_s  3\n";
        assert_eq!(of(&answer), expected);
    }

    #[test]
    fn objects_in_a_list_are_columns_too() {
        let answer =
            json!([{"table": "a", "written": {"files": 1, "rows": 22683}}, {"table": "bb", "written": {"files": 0}}]);
        assert_eq!(of(&answer), "table  written files  written rows\na      1              22683\nbb     0\n");
    }

    #[test]
    fn long_text_is_cut_in_columns_only() {
        let long = "x".repeat(100);
        assert!(of(&json!({ "path": long })).contains(&long));
        assert_eq!(of(&json!([{ "a": long }])), format!("a\n{}...\n", &long[..60]));
    }

    #[test]
    fn what_a_device_wrote_cannot_move_the_cursor() {
        assert_eq!(of(&json!("a\u{1b}[2Jb\nc")), "a\u{fffd}[2Jb\u{fffd}c\n");
    }
}
