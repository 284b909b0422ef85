//! The SDK's errors as ours, with the way out where there is one.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::error::{ErrorKind, StoreError};

/// What failed while `doing` something to the table at the address `shown`.
pub(crate) fn failed<E>(shown: &str, doing: &str, error: SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let kind = match error.code() {
        Some("ResourceNotFoundException") => return missing(shown),
        Some(
            "ProvisionedThroughputExceededException"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "LimitExceededException",
        ) => ErrorKind::Throttled,
        Some(
            "AccessDeniedException"
            | "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "ExpiredTokenException"
            | "MissingAuthenticationTokenException"
            | "IncompleteSignatureException",
        ) => ErrorKind::Denied,
        Some("ValidationException") => ErrorKind::Refused,
        _ => ErrorKind::Unavailable,
    };
    let cause = match error.message() {
        Some(message) => message.to_string(),
        None => chain(&error),
    };
    StoreError::caused(kind, format!("{doing} {shown}"), cause)
}

/// The error for a table that isn't there.
pub(crate) fn missing(shown: &str) -> StoreError {
    let text = format!("there is no table {shown}; make it with: housecount table create --cold '{shown}'");
    StoreError::new(ErrorKind::Missing, text)
}

/// The causes of an error, which the SDK's own Display leaves out.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let said = causes.map(ToString::to_string).fold(error.to_string(), |said, cause| {
        if said.contains(&cause) { said } else { format!("{said}: {cause}") }
    });
    said.replace('\n', " ")
}
