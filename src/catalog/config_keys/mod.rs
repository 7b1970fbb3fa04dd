//! THE table of config keys: every key this broker knows, with its type, default, validity, where
//! it may be changed, and whether it has an effect here.
//!
//! Names, types, defaults and valid values are Kafka 4.1's. Where a default differs it is on
//! purpose and the documentation of the key says so: [`topic_keys`] and [`broker_keys`] are what
//! DescribeConfigs shows, so nothing about a key may be known in another place.
//!
//! Not here: the values themselves (`layers`), and what is done with them.

mod broker;
mod check;
mod cleaner_keys;
mod group_keys;
mod log_keys;
mod own_keys;
mod server_keys;
mod synonyms;
mod table;
mod topic;

pub use broker::{broker_key, broker_keys};
pub(super) use check::{check_batch_bytes, check_broker_configs, check_topic_configs};
pub use synonyms::{Synonym, broker_synonyms, topic_synonyms};
pub use topic::{topic_key, topic_keys};

use std::fmt;

/// Type of a value; the numbers are DescribeConfigs' own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean = 1,
    /// Any text.
    String = 2,
    /// 32 bits.
    Int = 3,
    /// 16 bits.
    Short = 4,
    /// 64 bits.
    Long = 5,
    /// A floating-point number.
    Double = 6,
    /// Texts, separated by commas.
    List = 7,
    /// A Java class; kept as a name.
    Class = 8,
    /// A secret.
    Password = 9,
}

impl ConfigType {
    /// Kafka's number.
    #[must_use]
    pub fn number(self) -> i8 {
        self as i8
    }
}

impl fmt::Display for ConfigType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConfigType::Boolean => "BOOLEAN",
            ConfigType::String => "STRING",
            ConfigType::Int => "INT",
            ConfigType::Short => "SHORT",
            ConfigType::Long => "LONG",
            ConfigType::Double => "DOUBLE",
            ConfigType::List => "LIST",
            ConfigType::Class => "CLASS",
            ConfigType::Password => "PASSWORD",
        })
    }
}

/// Which values of the type are possible.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Validator {
    /// All of them.
    Any,
    /// Numbers from here on.
    AtLeast(i64),
    /// Numbers in this range, both ends included.
    Between(i64, i64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A list of these texts.
    ListOf(&'static [&'static str]),
    /// A gzip level: 1 to 9, or -1 for the library's default.
    GzipLevel,
    /// `*`, or pairs of partition and broker.
    ThrottledReplicas,
}

/// How much Kafka's documentation makes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// Everyone should know it.
    High,
    /// Worth knowing.
    Medium,
    /// Rarely touched.
    Low,
}

/// Where a broker key may be changed while the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DynamicScope {
    /// Nowhere: the file and a restart.
    ReadOnly,
    /// For one broker.
    PerBroker,
    /// For one broker or for all.
    ClusterWide,
}

/// What a key does in this broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// What Kafka documents.
    Honoured,
    /// Nothing, for this reason; any valid value is accepted, since it can do no harm.
    AcceptedIgnored(&'static str),
    /// Only the default can be honoured; another value is refused with this text.
    DefaultOnly(&'static str),
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfigKey {
    /// Kafka's name.
    pub name: &'static str,
    /// Type of its value.
    pub config_type: ConfigType,
    /// The value if none is given; `None` if the key has no value then.
    pub default: Option<&'static str>,
    /// Which values are valid.
    pub validator: Validator,
    /// Weight in the documentation.
    pub importance: Importance,
    /// Where it may be changed. For topic keys: always [`DynamicScope::ClusterWide`].
    pub scope: DynamicScope,
    /// What it does here.
    pub effect: Effect,
    /// What it means.
    pub documentation: &'static str,
}

/// A key of the broker.
pub type BrokerKey = ConfigKey;

impl ConfigKey {
    /// True if the value is a secret: never shown, logged or described.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        self.config_type == ConfigType::Password
    }

    /// The documentation with what a user of this broker has to know besides.
    #[must_use]
    pub fn full_documentation(&self) -> String {
        match self.effect {
            Effect::Honoured => self.documentation.to_owned(),
            Effect::AcceptedIgnored(why) => {
                format!("{} In this broker it has no effect: {why}.", self.documentation)
            }
            Effect::DefaultOnly(why) => {
                format!("{} In this broker only the default is possible. {why}", self.documentation)
            }
        }
    }
}

/// True if a value of that key must never be shown. A name that no table knows counts as secret,
/// because a mistyped `ssl.key.passwrd` still holds a password.
#[must_use]
pub fn is_sensitive(name: &str) -> bool {
    match topic_key(name).or_else(|| broker_key(name)) {
        Some(key) => key.is_sensitive(),
        None => true,
    }
}
