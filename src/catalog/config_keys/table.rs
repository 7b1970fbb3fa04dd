//! The notation of the tables: one key in two or three lines.

/// Reads `name: Type = default, Validator, Importance, Scope; effect; documentation`.
macro_rules! keys {
    ($($name:literal: $config_type:ident = $default:tt, $validator:expr, $importance:ident,
        $scope:ident $(, $effect:ident($why:expr))?; $documentation:expr;)*) => {
        &[$($crate::catalog::config_keys::ConfigKey {
            name: $name,
            config_type: $crate::catalog::config_keys::ConfigType::$config_type,
            default: $crate::catalog::config_keys::table::default_value!($default),
            validator: {
                #[allow(unused_imports)]
                use $crate::catalog::config_keys::Validator::*;
                $validator
            },
            importance: $crate::catalog::config_keys::Importance::$importance,
            scope: $crate::catalog::config_keys::DynamicScope::$scope,
            effect: $crate::catalog::config_keys::table::effect!($($effect($why))?),
            documentation: $documentation,
        }),*]
    };
}

macro_rules! default_value {
    (none) => {
        None
    };
    ($default:literal) => {
        Some($default)
    };
}

macro_rules! effect {
    () => {
        $crate::catalog::config_keys::Effect::Honoured
    };
    (ignored($why:expr)) => {
        $crate::catalog::config_keys::Effect::AcceptedIgnored($why)
    };
    (default_only($why:expr)) => {
        $crate::catalog::config_keys::Effect::DefaultOnly($why)
    };
}

pub(super) use {default_value, effect, keys};
