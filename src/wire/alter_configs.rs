//! API key 33, AlterConfigs: replaces all configurations of a resource (KIP-133). Clients of today
//! use IncrementalAlterConfigs.
//!
//! Versions 0-2.
//!
//! - 1: a throttled reply is sent before the wait, not after it (KIP-219).
//! - 2: flexible.

use super::array::Array;
use super::message::message;

message! {
    /// Configurations to set; those not named go back to their defaults.
    request AlterConfigsRequest<'a>(AlterConfigs, 0..=2, flexible 2..) {
        /// Configurations by resource.
        resources: Array<'a, AlterConfigsResource<'a>>, 0..;
        /// Whether to only say what would happen.
        validate_only: bool, 0..;
    }

    /// Configurations of one resource.
    struct AlterConfigsResource<'a> {
        /// What it is, as numbered by DescribeConfigs.
        resource_type: i8, 0..;
        /// Its name.
        resource_name: &'a str, 0..;
        /// Its configurations.
        configs: Array<'a, AlterableConfig<'a>>, 0..;
    }

    /// A configuration to set.
    struct AlterableConfig<'a> {
        /// Its name.
        name: &'a str, 0..;
        /// Its value.
        value: Option<&'a str>, 0.., nullable 0..;
    }
}

message! {
    /// What became of each resource.
    response AlterConfigsResponse<'a>(AlterConfigs, 0..=2, flexible 2..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 0..;
        /// Outcomes by resource.
        responses: Array<'a, AlterConfigsResourceResponse<'a>>, 0..;
    }

    /// Outcome for one resource.
    struct AlterConfigsResourceResponse<'a> {
        /// 0 if its configurations are set, or could be.
        error_code: i16, 0..;
        /// What is wrong; null if nothing.
        error_message: Option<&'a str>, 0.., nullable 0..;
        /// What it is, as in the request.
        resource_type: i8, 0..;
        /// Its name.
        resource_name: &'a str, 0..;
    }
}
