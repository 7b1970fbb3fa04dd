//! Whether a value is valid for its key, with the texts that Kafka's tools show.

use std::collections::BTreeMap;

use super::super::layers::Layers;
use super::super::topic_config::resolve_number;
use super::super::topic_name::printable;
use crate::limits::{JOURNAL_FILE_BYTES, journal_batch_bytes_max};

use super::{ConfigKey, ConfigType, DynamicScope, Effect, Validator, broker_key, topic_key};

/// Longest value of a dynamic config, in bytes. Every shard keeps all of them.
const VALUE_BYTES_MAX: usize = 64 * 1024;

impl ConfigKey {
    /// The value in its normal form, as DescribeConfigs shows it.
    ///
    /// # Errors
    /// If it is not valid; the text names key, value and rule.
    pub fn normalized(&self, value: &str) -> Result<String, String> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(format!(
                "Invalid value for configuration {}: longer than {VALUE_BYTES_MAX} bytes",
                self.name
            ));
        }
        let trimmed = value.trim();
        let normal = match self.config_type {
            ConfigType::Boolean => match trimmed.to_ascii_lowercase() {
                word if word == "true" || word == "false" => word,
                _ => return Err(self.refusal(value, "Expected value to be either true or false")),
            },
            ConfigType::Int | ConfigType::Short | ConfigType::Long => {
                let Some(number) = self.integer(trimmed) else {
                    let rule = format!("Not a number of type {}", self.config_type);
                    return Err(self.refusal(value, &rule));
                };
                let normal = number.to_string();
                match self.range_broken(number as f64) {
                    Some(rule) => return Err(self.refusal(&normal, &rule)),
                    None => normal,
                }
            }
            ConfigType::Double => {
                let Some(number) = trimmed.parse::<f64>().ok().filter(|number| number.is_finite())
                else {
                    return Err(self.refusal(value, "Not a number of type DOUBLE"));
                };
                let normal = java_double(number);
                match self.range_broken(number) {
                    Some(rule) => return Err(self.refusal(&normal, &rule)),
                    None => normal,
                }
            }
            ConfigType::List => {
                let parts: Vec<&str> = match trimmed {
                    "" => Vec::new(),
                    list => list.split(',').map(str::trim).collect(),
                };
                self.check_list(&parts)?;
                parts.join(",")
            }
            ConfigType::String | ConfigType::Class | ConfigType::Password => {
                if let Validator::OneOf(words) = self.validator
                    && !words.contains(&trimmed)
                {
                    let rule = format!("String must be one of: {}", words.join(", "));
                    return Err(self.refusal(trimmed, &rule));
                }
                trimmed.to_owned()
            }
        };
        match self.effect {
            Effect::DefaultOnly(why) if self.default != Some(normal.as_str()) => {
                Err(why.to_owned())
            }
            _ => Ok(normal),
        }
    }

    fn refusal(&self, value: &str, rule: &str) -> String {
        let value = if self.is_sensitive() { "[hidden]".to_owned() } else { printable(value) };
        format!("Invalid value {value} for configuration {}: {rule}", self.name)
    }

    fn integer(&self, text: &str) -> Option<i64> {
        let number: i64 = text.parse().ok()?;
        let fits = match self.config_type {
            ConfigType::Int => i32::try_from(number).is_ok(),
            ConfigType::Short => i16::try_from(number).is_ok(),
            _ => true,
        };
        fits.then_some(number)
    }

    fn range_broken(&self, number: f64) -> Option<String> {
        match self.validator {
            Validator::AtLeast(low) | Validator::Between(low, _) if number < low as f64 => {
                Some(format!("Value must be at least {low}"))
            }
            Validator::Between(_, high) if number > high as f64 => {
                Some(format!("Value must be no more than {high}"))
            }
            Validator::GzipLevel if number != -1.0 && !(1.0..=9.0).contains(&number) => {
                Some("Value must be between 1 and 9 or equal to -1".to_owned())
            }
            _ => None,
        }
    }

    fn check_list(&self, parts: &[&str]) -> Result<(), String> {
        match self.validator {
            Validator::ListOf(words) => match parts.iter().find(|part| !words.contains(part)) {
                Some(part) => {
                    let rule = format!("String must be one of: {}", words.join(", "));
                    Err(self.refusal(part, &rule))
                }
                None => Ok(()),
            },
            Validator::ThrottledReplicas => {
                let number = |text: &str| {
                    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<i32>().is_ok()
                };
                let pair =
                    |part: &&str| part.split_once(':').is_some_and(|(a, b)| number(a) && number(b));
                if matches!(parts, ["*"]) || parts.iter().all(pair) {
                    return Ok(());
                }
                let rule = format!(
                    "{} must be the literal '*' or a list of replicas in the following format: \
                     [partitionId]:[brokerId],[partitionId]:[brokerId],...",
                    self.name
                );
                Err(self.refusal(&format!("[{}]", parts.join(", ")), &rule))
            }
            _ => Ok(()),
        }
    }
}

/// A number as Java prints it: tools compare these texts.
fn java_double(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{number:?}");
    }
    let text = format!("{number:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

/// Checks the configs of one topic as a whole, over what its broker adds.
///
/// # Errors
/// With Kafka's text for the first key that is not valid.
pub(in crate::catalog) fn check_topic_configs(
    configs: &BTreeMap<String, String>,
    layers: Layers<'_>,
) -> Result<(), String> {
    for (name, value) in configs {
        let Some(key) = topic_key(name) else {
            return Err(format!("Unknown topic config name: {}", printable(name)));
        };
        key.normalized(value)?;
    }
    check_batch_bytes("max.message.bytes", configs, layers)?;
    let lag = |name| resolve_number(configs, layers, name);
    let (low, high) = (lag("min.compaction.lag.ms"), lag("max.compaction.lag.ms"));
    if low > high {
        return Err(format!(
            "conflict topic config setting min.compaction.lag.ms ({low}) > max.compaction.lag.ms \
             ({high})"
        ));
    }
    Ok(())
}

/// Checks that batches as large as this config allows, if it is among them, can be stored: they have
/// to fit into a file of the journal.
///
/// # Errors
/// With a text that says what would make room for them.
pub(in crate::catalog) fn check_batch_bytes(
    key: &str,
    configs: &BTreeMap<String, String>,
    layers: Layers<'_>,
) -> Result<(), String> {
    let wanted: usize = configs.get(key).and_then(|value| value.trim().parse().ok()).unwrap_or(0);
    let file_bytes = layers.value("ringmain.journal.file.bytes");
    let file_bytes = file_bytes.and_then(|value| value.parse().ok()).unwrap_or(JOURNAL_FILE_BYTES);
    let largest = journal_batch_bytes_max(file_bytes);
    if wanted <= largest {
        return Ok(());
    }
    Err(format!(
        "Invalid value {wanted} for configuration {key}: Value must be no more than {largest}, the \
         largest batch that a journal file of {file_bytes} bytes takes \
         (ringmain.journal.file.bytes; no more than {} whatever its value)",
        journal_batch_bytes_max(u64::MAX)
    ))
}

/// Checks dynamic configs of one broker (`per_broker`) or of all.
///
/// # Errors
/// With Kafka's text for the first rule that is broken.
pub(in crate::catalog) fn check_broker_configs(
    configs: &BTreeMap<String, String>,
    per_broker: bool,
) -> Result<(), String> {
    let mut fixed = Vec::new();
    let mut single = Vec::new();
    for (name, value) in configs {
        let Some(key) = broker_key(name) else {
            return Err(format!("Unknown broker config name: {}", printable(name)));
        };
        key.normalized(value)?;
        match key.scope {
            DynamicScope::ReadOnly => fixed.push(key.name),
            DynamicScope::PerBroker if !per_broker => single.push(key.name),
            DynamicScope::PerBroker | DynamicScope::ClusterWide => {}
        }
    }
    if !fixed.is_empty() {
        return Err(format!("Cannot update these configs dynamically: Set({})", fixed.join(", ")));
    }
    if !single.is_empty() {
        return Err(format!(
            "Cannot update these configs at default cluster level, broker id must be specified: \
             Set({})",
            single.join(", ")
        ));
    }
    Ok(())
}
