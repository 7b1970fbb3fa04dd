//! The file: TOML, flattened to Kafka's dotted keys.
//!
//! `"log.retention.ms" = 1`, `log.retention.ms = 1` and `[log.retention] ms = 1` are the same. TOML
//! itself forbids the unquoted form where one key is also the beginning of another
//! (`max.connections` and `max.connections.per.ip`); these need quotes.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;

/// A value of the file, as text, with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileValue {
    pub(super) text: String,
    pub(super) line: usize,
}

/// Reads every key of the file; errors go to `errors`, and the rest is read all the same.
pub(super) fn read_file(text: &str, errors: &mut Vec<ConfigError>) -> BTreeMap<String, FileValue> {
    let mut values = BTreeMap::new();
    match DeTable::parse(text) {
        Ok(table) => {
            let mut flat = Flattening { text, values: &mut values, errors };
            flat.table("", table.get_ref());
        }
        Err(error) => {
            let line = error.span().map(|span| line_of(text, span.start));
            let mut message = format!("the file is not TOML: {}", error.message());
            if message.contains("duplicate key") || message.contains("extend") {
                message.push_str(
                    "; a key that is also the beginning of another one has to be quoted: \
                     \"max.connections\" = 100",
                );
            }
            errors.push(ConfigError { line, key: None, message });
        }
    }
    values
}

struct Flattening<'a> {
    text: &'a str,
    values: &'a mut BTreeMap<String, FileValue>,
    errors: &'a mut Vec<ConfigError>,
}

impl Flattening<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = match prefix {
                "" => name.get_ref().to_string(),
                prefix => format!("{prefix}.{}", name.get_ref()),
            };
            let line = line_of(self.text, name.span().start);
            if let DeValue::Table(inner) = value.get_ref() {
                self.table(&key, inner);
                continue;
            }
            match self.scalar(value) {
                Some(text) => {
                    let file_value = FileValue { text, line };
                    if let Some(first) = self.values.insert(key.clone(), file_value) {
                        let message =
                            format!("{key} is there twice; the first time in line {}", first.line);
                        self.errors.push(ConfigError::new(Some(line), &key, message));
                    }
                }
                None => {
                    let message = format!(
                        "{key} must be a text, a number, true or false, or a list of these"
                    );
                    self.errors.push(ConfigError::new(Some(line), &key, message));
                }
            }
        }
    }

    fn scalar(&self, value: &Spanned<DeValue<'_>>) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Boolean(truth) => Some(truth.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map(|number| number.to_string())
                .ok(),
            DeValue::Float(number) => Some(number.as_str().to_owned()),
            DeValue::Array(items) => {
                let items: Option<Vec<String>> = items
                    .iter()
                    .map(|item| match item.get_ref() {
                        DeValue::Array(_) => None,
                        _ => self.scalar(item),
                    })
                    .collect();
                Some(items?.join(","))
            }
            DeValue::Datetime(_) | DeValue::Table(_) => None,
        }
    }
}

fn line_of(text: &str, position: usize) -> usize {
    let before: Range<usize> = 0..position.min(text.len());
    1 + text
        .as_bytes()
        .get(before)
        .unwrap_or_default()
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
}
