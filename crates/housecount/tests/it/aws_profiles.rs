//! Profiles of the AWS CLI. For a profile that housecount can't use, the error names the kind of
//! profile that works.

use std::process::{Command, Output};

use housecount_test::timed_test;
use tempfile::TempDir;

use crate::support::dynamo::Dynamo;
use crate::support::node::housecount;

/// A home folder with AWS profiles.
///
/// - `centre` signs in by IAM Identity Center, as `aws configure sso` writes it today.
/// - `older` does so as that command once wrote it.
/// - `browser` signs in by `aws login`.
/// - `process` asks a program for keys, such as `aws configure export-credentials`.
pub struct Profiles {
    home: TempDir,
}

const PROFILES: &str = "\
[sso-session ours]
sso_start_url = https://example.awsapps.com/start
sso_region = us-east-1

[profile centre]
sso_session = ours
sso_account_id = 123456789012
sso_role_name = Viewer
region = us-east-1

[profile older]
sso_start_url = https://example.awsapps.com/start
sso_region = us-east-1
sso_account_id = 123456789012
sso_role_name = Viewer
region = us-east-1

[profile browser]
login_session = arn:aws:iam::123456789012:user/ann
region = us-east-1

[profile process]
credential_process = cat KEYS
region = us-east-1
";

impl Profiles {
    pub fn new() -> Profiles {
        let home = tempfile::tempdir().unwrap();
        let keys = home.path().join("keys.json");
        std::fs::write(
            &keys,
            r#"{ "Version": 1, "AccessKeyId": "test", "SecretAccessKey": "test" }"#,
        )
        .unwrap();
        let config = PROFILES.replace("KEYS", &keys.display().to_string());
        std::fs::write(home.path().join("config"), config).unwrap();
        std::fs::write(home.path().join("credentials"), "").unwrap();
        Profiles { home }
    }

    /// The binary with this profile, and without keys in its environment.
    pub fn housecount(&self, profile: &str) -> Command {
        let mut command = housecount();
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command.env("HOME", self.home.path()).env("AWS_PROFILE", profile);
        command.env("AWS_CONFIG_FILE", self.home.path().join("config"));
        command.env("AWS_SHARED_CREDENTIALS_FILE", self.home.path().join("credentials"));
        command
    }
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

pub fn says_what_to_use_instead(complaint: &str, sign_in: &str) {
    assert!(complaint.contains(&format!("the AWS profile signs in with {sign_in}")), "{complaint}");
    for way_out in ["credential_process", "aws configure export-credentials", "AWS_PROFILE"] {
        assert!(complaint.contains(way_out), "{way_out} is missing in {complaint}");
    }
    assert!(!complaint.to_lowercase().contains("cargo"), "{complaint}");
}

#[timed_test(flavor = "multi_thread")]
async fn a_profile_that_signs_in_by_a_browser_is_reported_as_unusable() {
    let profiles = Profiles::new();
    for (profile, sign_in) in [
        ("centre", "IAM Identity Center (sso)"),
        ("older", "IAM Identity Center (sso)"),
        ("browser", "`aws login`"),
    ] {
        let mut command = profiles.housecount(profile);
        command.args(["table", "status", "--cold", "dynamodb://table?region=us-east-1"]);
        let output = run(command).await;
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(complaint.contains("dynamodb://table"), "{complaint}");
        says_what_to_use_instead(&complaint, sign_in);
    }
}

/// The kind of profile that the error recommends works.
#[timed_test(flavor = "multi_thread")]
async fn a_profile_with_a_process_works() {
    let (profiles, dynamo) = (Profiles::new(), Dynamo::start().await);
    let mut command = profiles.housecount("process");
    command.args(["table", "create", "--cold", &dynamo.url("table")]);
    let output = run(command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
