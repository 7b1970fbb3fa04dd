//! API key 44, IncrementalAlterConfigs: changes single configurations (KIP-339).
//!
//! Versions 0-1; 1 is flexible.

use super::array::Array;
use super::message::message;

message! {
    /// Configurations to change.
    request IncrementalAlterConfigsRequest<'a>(IncrementalAlterConfigs, 0..=1, flexible 1..) {
        /// Changes by resource.
        resources: Array<'a, AlterConfigsResource<'a>>, 0..;
        /// Whether to only say what would happen.
        validate_only: bool, 0..;
    }

    /// Changes to one resource.
    struct AlterConfigsResource<'a> {
        /// What it is, as numbered by DescribeConfigs.
        resource_type: i8, 0..;
        /// Its name.
        resource_name: &'a str, 0..;
        /// The changes.
        configs: Array<'a, AlterableConfig<'a>>, 0..;
    }

    /// A change to one configuration.
    struct AlterableConfig<'a> {
        /// The configuration's name.
        name: &'a str, 0..;
        /// 0 set, 1 delete, 2 append to the list, 3 subtract from the list.
        config_operation: i8, 0..;
        /// The value to do it with.
        value: Option<&'a str>, 0.., nullable 0..;
    }
}

message! {
    /// What became of each resource.
    response IncrementalAlterConfigsResponse<'a>(IncrementalAlterConfigs, 0..=1, flexible 1..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 0..;
        /// Outcomes by resource.
        responses: Array<'a, AlterConfigsResourceResponse<'a>>, 0..;
    }

    /// Outcome for one resource.
    struct AlterConfigsResourceResponse<'a> {
        /// 0 if its configurations are changed, or could be.
        error_code: i16, 0..;
        /// What is wrong; null if nothing.
        error_message: Option<&'a str>, 0.., nullable 0..;
        /// What it is, as in the request.
        resource_type: i8, 0..;
        /// Its name.
        resource_name: &'a str, 0..;
    }
}
