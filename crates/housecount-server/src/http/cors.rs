//! Players' calls by their paths: CORS allows them to more sites than operators' calls.

use axum::http::Uri;

use super::live::names_stages;

/// Paths of players' calls, and of those that front-ends make before them. Counts of named stages
/// are checked separately.
const PLAYERS: [&str; 10] = [
    "/v1/heartbeat",
    "/v1/heartbeats",
    "/v1/leave",
    "/v1/ws",
    "/v1/public/count",
    "/api/viewer/rejoin",
    "/api/viewer/heartbeat",
    "/api/viewer/leave",
    "/api/health",
    "/health",
];

/// Whether a call is one of players.
pub fn is_players(uri: &Uri) -> bool {
    match uri.path() {
        "/v1/live" => names_stages(uri.query().unwrap_or_default()),
        path => PLAYERS.contains(&path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_named_stages_are_players_and_all_others_operators() {
        let is_players = |text: &str| is_players(&text.parse().unwrap());
        for players in ["/v1/heartbeat", "/v1/live?stage=a&stage=b&token=x", "/api/viewer/leave"] {
            assert!(is_players(players), "{players}");
        }
        for operators in [
            "/v1/stages",
            "/v1/live",
            "/v1/live?token=x",
            "/v1/live?stage=a&totals=true",
            "/api/viewer/list/s",
            "/api/stats",
            "/ws",
        ] {
            assert!(!is_players(operators), "{operators}");
        }
    }
}
