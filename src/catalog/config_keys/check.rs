//! Whether a value is valid for its key, with the texts that Kafka's tools show.

use std::collections::BTreeMap;

use super::super::layers::Layers;
use super::super::topic_config::{resolve_number, resolve_text};
use super::super::topic_name::printable;
use super::{ConfigKey, ConfigType, DynamicScope, Effect, Validator, broker_key, topic_key};

/// Longest value of a dynamic config, in bytes. Every shard keeps all of them.
const VALUE_BYTES_MAX: usize = 64 * 1024;

impl ConfigKey {
    /// The value in its normal form, as DescribeConfigs shows it.
    ///
    /// # Errors
    /// If it is not valid; the text names key, value and rule.
    pub fn normalized(&self, value: &str) -> Result<String, String> {
        let refuse = |rule: &str| {
            let value = if self.is_sensitive() { "[hidden]".to_owned() } else { printable(value) };
            let gap = if rule.is_empty() { "" } else { ": " };
            Err(format!("Invalid value {value} for configuration {}{gap}{rule}", self.name))
        };
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
                _ => return refuse("Expected value to be either true or false"),
            },
            ConfigType::Int | ConfigType::Short | ConfigType::Long => {
                let Some(number) = self.integer(trimmed) else {
                    return refuse(&format!("Not a number of type {}", self.config_type));
                };
                if let Some(rule) = self.range_broken(number as f64) {
                    return refuse(&rule);
                }
                number.to_string()
            }
            ConfigType::Double => {
                let Some(number) = trimmed.parse::<f64>().ok().filter(|number| number.is_finite())
                else {
                    return refuse("Not a number of type DOUBLE");
                };
                if let Some(rule) = self.range_broken(number) {
                    return refuse(&rule);
                }
                java_double(number)
            }
            ConfigType::List => {
                let parts: Vec<&str> = match trimmed {
                    "" => Vec::new(),
                    list => list.split(',').map(str::trim).collect(),
                };
                if let Some(rule) = self.list_broken(&parts) {
                    return refuse(&rule);
                }
                parts.join(",")
            }
            ConfigType::String | ConfigType::Class | ConfigType::Password => {
                if let Validator::OneOf(words) = self.validator
                    && !words.contains(&trimmed)
                {
                    return refuse(&format!("String must be one of: {}", words.join(", ")));
                }
                trimmed.to_owned()
            }
        };
        match self.effect {
            Effect::DefaultOnly(why) if self.default != Some(normal.as_str()) => refuse(why),
            _ => Ok(normal),
        }
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
            Validator::GzipLevel if number != -1.0 && number < 1.0 => {
                Some("Value must be at least 1 or equal to -1".to_owned())
            }
            Validator::GzipLevel if number > 9.0 => {
                Some("Value must be no more than 9 or equal to -1".to_owned())
            }
            _ => None,
        }
    }

    fn list_broken(&self, parts: &[&str]) -> Option<String> {
        match self.validator {
            Validator::ListOf(words) => (parts.iter())
                .any(|part| !words.contains(part))
                .then(|| format!("String must be one of: {}", words.join(", "))),
            Validator::ThrottledReplicas => {
                let pair = |part: &&str| {
                    part.split_once(':').is_some_and(|(partition, broker)| {
                        [partition, broker].iter().all(|number| {
                            number.bytes().all(|byte| byte.is_ascii_digit())
                                && number.parse::<i32>().is_ok()
                        })
                    })
                };
                let fine = matches!(parts, ["*" | "none"]) || parts.iter().all(pair);
                (!fine).then(|| {
                    "Must be the literal '*' or a list of replicas in the following format: \
                     [partitionId]:[brokerId],[partitionId]:[brokerId],..."
                        .to_owned()
                })
            }
            _ => None,
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
    let lag = |name| resolve_number(configs, layers, name);
    let (low, high) = (lag("min.compaction.lag.ms"), lag("max.compaction.lag.ms"));
    if low > high {
        return Err(format!(
            "conflict topic config setting min.compaction.lag.ms ({low}) > max.compaction.lag.ms \
             ({high})"
        ));
    }
    if resolve_text(configs, layers, "cleanup.policy").is_empty() {
        return Err("Invalid value  for configuration cleanup.policy: \
                    Configuration 'cleanup.policy' must not be empty."
            .to_owned());
    }
    Ok(())
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
