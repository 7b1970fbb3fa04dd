//! The settings in force, as a file.

use std::fmt::Write;

use super::Settings;
use crate::catalog::config_keys::{ConfigKey, ConfigType, broker_keys};

pub(super) fn render(settings: &Settings) -> String {
    let mut text = String::new();
    for warning in &settings.warnings {
        text.push_str("# warning: ");
        text.push_str(warning);
        text.push('\n');
    }
    let given = |key: &&ConfigKey| settings.static_configs.get(key.name).is_some();
    text.push_str("# Set in the configuration\n");
    for key in broker_keys().iter().filter(given) {
        line(&mut text, key, settings.static_configs.get(key.name));
    }
    text.push_str("\n# Defaults\n");
    for key in broker_keys().iter().filter(|key| !given(key)) {
        line(&mut text, key, key.default);
    }
    text
}

fn line(text: &mut String, key: &ConfigKey, value: Option<&str>) {
    let name = key.name;
    let written = match value {
        None => writeln!(text, "# \"{name}\" has no value"),
        Some(_) if key.is_sensitive() => writeln!(text, "# \"{name}\" is hidden"),
        Some(value) => match key.config_type {
            ConfigType::Boolean | ConfigType::Int | ConfigType::Short | ConfigType::Long => {
                writeln!(text, "\"{name}\" = {value}")
            }
            _ => writeln!(text, "\"{name}\" = {}", toml::Value::from(value)),
        },
    };
    assert!(written.is_ok(), "writing to a text cannot fail");
}
