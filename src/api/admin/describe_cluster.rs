//! DescribeCluster (key 60), versions 0 to 2 (KIP-700).
//!
//! - 1: brokers or controllers (KIP-919): a broker's port describes brokers only. 2: fenced brokers
//!   (KIP-1073), of which there are none while every registered broker serves.

use crate::api::{Asked, Context, Next, operations};
use crate::wire::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};
use crate::wire::error_code::ErrorCode;
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// Answers a request.
pub(super) fn answer(
    asked: Asked,
    body: &[u8],
    context: &Context<'_>,
) -> Result<Next, DecodeError> {
    let request = DescribeClusterRequest::decode_from(body, asked.version)?;
    let refused = |error: ErrorCode, message: &str| {
        let response = DescribeClusterResponse {
            error_code: error.code(),
            error_message: Some(message),
            ..Default::default()
        };
        Ok(Next::Reply(asked.reply(&response)))
    };
    match request.endpoint_type {
        BROKERS => {}
        CONTROLLERS => {
            return refused(
                ErrorCode::MISMATCHED_ENDPOINT_TYPE,
                "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of \
                 type CONTROLLER",
            );
        }
        other => {
            let message = format!("Unsupported endpoint type {other}");
            return refused(ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, &message);
        }
    }
    let brokers: Vec<_> = context
        .image
        .brokers
        .values()
        .filter_map(|broker| {
            let endpoint = broker.endpoints.first()?;
            Some(DescribeClusterBroker {
                broker_id: broker.id.0,
                host: &endpoint.host,
                port: i32::from(endpoint.port),
                rack: broker.rack.as_deref(),
                is_fenced: false,
            })
        })
        .collect();
    // A broker's port takes all administrative requests, so this broker stands for the controller.
    let listed = brokers.iter().any(|broker| broker.broker_id == context.node.0);
    let response = DescribeClusterResponse {
        cluster_id: &context.image.cluster_id,
        controller_id: if listed { context.node.0 } else { -1 },
        brokers: brokers.into(),
        cluster_authorized_operations: operations::on_cluster(
            request.include_cluster_authorized_operations,
        ),
        ..Default::default()
    };
    Ok(Next::Reply(asked.reply(&response)))
}

#[cfg(test)]
mod tests {
    use super::super::scene::Scene;
    use super::*;

    #[test]
    fn brokers_are_described() {
        let mut scene = Scene::new(&[]);
        for version in 0..=2 {
            let body = scene.answer(version, &DescribeClusterRequest::default());
            let response = DescribeClusterResponse::decode_whole(&body, version).unwrap();
            assert_eq!((response.error_code, response.error_message), (0, None));
            assert_eq!(response.cluster_id, scene.image().cluster_id);
            assert_eq!(response.controller_id, 1);
            assert_eq!(response.cluster_authorized_operations, operations::UNASKED);
            let brokers: Vec<_> = response.brokers.iter().collect();
            let expected = DescribeClusterBroker {
                broker_id: 1,
                host: "here",
                port: 9092,
                rack: Some("r"),
                is_fenced: false,
            };
            assert_eq!(brokers, [expected]);
        }
    }

    #[test]
    fn operations_are_told_to_those_who_ask() {
        let mut scene = Scene::new(&[]);
        let request = DescribeClusterRequest {
            include_cluster_authorized_operations: true,
            ..Default::default()
        };
        let body = scene.answer(1, &request);
        let response = DescribeClusterResponse::decode_whole(&body, 1).unwrap();
        assert_eq!(response.cluster_authorized_operations, operations::on_cluster(true));
    }

    #[test]
    fn only_brokers_are_described() {
        let mut scene = Scene::new(&[]);
        for (endpoint_type, error) in [
            (2, ErrorCode::MISMATCHED_ENDPOINT_TYPE),
            (0, ErrorCode::UNSUPPORTED_ENDPOINT_TYPE),
            (3, ErrorCode::UNSUPPORTED_ENDPOINT_TYPE),
        ] {
            let request = DescribeClusterRequest { endpoint_type, ..Default::default() };
            let body = scene.answer(1, &request);
            let response = DescribeClusterResponse::decode_whole(&body, 1).unwrap();
            assert_eq!(response.error_code, error.code());
            assert!(response.error_message.is_some());
            assert!(response.brokers.is_empty());
        }
    }
}
