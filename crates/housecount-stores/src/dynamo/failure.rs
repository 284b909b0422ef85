//! Conversion of the SDK's errors into `StoreError`s, with the remedy if there is one.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use housecount_backend::error::{ErrorKind, StoreError};

/// Start of the SDK's message about a profile that needs a missing feature of it (aws-config 1.13).
const MISSING_FEATURE: &str = "requires following cargo feature(s) enabled: ";

/// Converts an error that occurred while `doing` something to the table at the address `shown`.
pub(crate) fn failed<E>(shown: &str, doing: &str, error: SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    if let Some(why) = unusable_profile(&error) {
        return StoreError::new(ErrorKind::Denied, format!("{doing} {shown}: {why}"));
    }
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

/// Builds the error for a table that doesn't exist.
pub(crate) fn missing(shown: &str) -> StoreError {
    let text = format!(
        "there is no table {shown}; create it with: housecount table create --cold '{shown}'"
    );
    StoreError::new(ErrorKind::Missing, text)
}

/// Returns the remedy if an AWS profile signs in by a browser; `None` for any other cause.
///
/// The client is built without browser sign-in, which would bring two more clients of AWS.
pub fn unusable_profile(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    // The SDK reports this cause only as text.
    let name_of = |cause: &(dyn std::error::Error + 'static)| {
        Some(cause.to_string().split_once(MISSING_FEATURE)?.1.to_string())
    };
    let feature = std::iter::successors(Some(error), |cause| cause.source()).find_map(name_of)?;
    let feature = feature.split(['.', ' ', ',']).next().unwrap_or_default();
    let sign_in = match feature {
        "sso" => "IAM Identity Center (sso)",
        "credentials-login" => "`aws login`",
        other => other,
    };
    Some(format!(
        "the AWS profile signs in with {sign_in}, which housecount doesn't support; set AWS_PROFILE to a profile with \
         credential_process = aws configure export-credentials --profile NAME --format process (NAME is the one that signs in), \
         or export the keys once: eval \"$(aws configure export-credentials --profile NAME --format env)\""
    ))
}

/// Joins the causes of an error, which the SDK's own Display leaves out.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let message = causes.map(ToString::to_string).fold(error.to_string(), |message, cause| {
        if message.contains(&cause) { message } else { format!("{message}: {cause}") }
    });
    message.replace('\n', " ")
}
