//! API key 32, DescribeConfigs (KIP-133).
//!
//! Versions 1-4; 0 went with Kafka 4.0.
//!
//! - 1: source of each value, and its synonyms (KIP-226).
//! - 2: a throttled reply is sent before the wait, not after it (KIP-219).
//! - 3: type and documentation (KIP-569).
//! - 4: flexible.

use super::array::Array;
use super::message::message;

message! {
    /// Resources to describe.
    request DescribeConfigsRequest<'a>(DescribeConfigs, 1..=4, flexible 4..) {
        /// The resources.
        resources: Array<'a, DescribeConfigsResource<'a>>, 0..;
        /// Whether to list all places a value could come from.
        include_synonyms: bool, 1..;
        /// Whether to include documentation.
        include_documentation: bool, 3..;
    }

    /// A resource to describe.
    struct DescribeConfigsResource<'a> {
        /// What it is: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8, 0..;
        /// Its name.
        resource_name: &'a str, 0..;
        /// The configurations wanted; null for all.
        configuration_keys: Option<Array<'a, &'a str>>, 0.., nullable 0..;
    }
}

message! {
    /// Configurations of the resources.
    response DescribeConfigsResponse<'a>(DescribeConfigs, 1..=4, flexible 4..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 0..;
        /// Outcomes by resource.
        results: Array<'a, DescribeConfigsResult<'a>>, 0..;
    }

    /// Outcome for one resource.
    struct DescribeConfigsResult<'a> {
        /// 0 if it exists and may be seen.
        error_code: i16, 0..;
        /// What is wrong; null if nothing.
        error_message: Option<&'a str>, 0.., nullable 0..;
        /// What it is, as in the request.
        resource_type: i8, 0..;
        /// Its name.
        resource_name: &'a str, 0..;
        /// Its configurations.
        configs: Array<'a, DescribeConfigsResourceResult<'a>>, 0..;
    }

    /// One configuration.
    struct DescribeConfigsResourceResult<'a> {
        /// Its name.
        name: &'a str, 0..;
        /// Its value; null if none, or sensitive.
        value: Option<&'a str>, 0.., nullable 0..;
        /// Whether it cannot be changed.
        read_only: bool, 0..;
        /// Where the value comes from: 1 topic, 2 broker, 3 all brokers, 4 configuration file,
        /// 5 default, 6 broker logger; -1 if unknown.
        config_source: i8 = -1, 1.., ignorable;
        /// Whether the value is secret.
        is_sensitive: bool, 0..;
        /// All places the value could come from, the first one counts.
        synonyms: Array<'a, DescribeConfigsSynonym<'a>>, 1.., ignorable;
        /// 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password; 0 if
        /// unknown.
        config_type: i8, 3.., ignorable;
        /// What it is for; null if not asked for.
        documentation: Option<&'a str>, 3.., nullable 0.., ignorable;
    }

    /// A place a value could come from.
    struct DescribeConfigsSynonym<'a> {
        /// The configuration's name there.
        name: &'a str, 1..;
        /// The value there.
        value: Option<&'a str>, 1.., nullable 0..;
        /// The place, numbered like `config_source`.
        source: i8, 1..;
    }
}
