import Foundation
import XCTest

@testable import Housecount

/// Replays clients/scenarios.json against the state machine.
final class ScenariosTests: XCTestCase {
    private let start = 1_790_000_000_000.0

    func testScenarios() throws {
        let clients = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../..").standardized
        let data = try Data(contentsOf: clients.appendingPathComponent("scenarios.json"))
        let file = try XCTUnwrap(JSONSerialization.jsonObject(with: data) as? [String: Any])
        let scenarios = try XCTUnwrap(file["scenarios"] as? [[String: Any]])
        XCTAssertFalse(scenarios.isEmpty)
        var rows: [String] = []
        for scenario in scenarios { rows.append(try replay(scenario)) }
        // The outcome table, which clients/outcomes compares with the other clients'.
        if let path = ProcessInfo.processInfo.environment["CLIENTS_OUTCOMES"] {
            try (rows.joined(separator: "\n") + "\n").write(toFile: path, atomically: true, encoding: .utf8)
        }
    }

    private func replay(_ scenario: [String: Any]) throws -> String {
        let name = try XCTUnwrap(scenario["name"] as? String)
        let options = try XCTUnwrap(scenario["options"] as? [String: Any])
        let chance = try XCTUnwrap(options["chance"] as? Double)
        let hasOwnSession = try XCTUnwrap(options["ownSession"] as? Bool)
        let hasTokens = try XCTUnwrap(options["tokens"] as? Bool)
        var stay = Stay(hasOwnSession: hasOwnSession, hasTokens: hasTokens, chance: { chance })
        var row: [String] = []
        for step in try XCTUnwrap(scenario["steps"] as? [[String: Any]]) {
            let now = start + (try XCTUnwrap(step["at"] as? Double))
            if step["event"] as? String == "timer" { XCTAssertEqual(stay.dueAt, now, "\(name): the timer goes off then") }
            let effects = stay.handle(now: now, try eventOf(step, now))
            let requests = effects.requests.map(\.rawValue)
            let reported = reportOf(effects.outcome)
            let timer = stay.dueAt.map { $0 - now }
            XCTAssertEqual(requests, step["requests"] as? [String], "\(name): \(step)")
            XCTAssertEqual(reported, step["reported"] as? String, "\(name): \(step)")
            XCTAssertEqual(timer, step["timer"] as? Double, "\(name): \(step)")
            XCTAssertEqual(stay.state.rawValue, step["state"] as? String, "\(name): \(step)")
            // As a page shows it, which is silent about retries and orders no requests of one moment.
            let sorted = requests.isEmpty ? "-" : requests.sorted().joined(separator: "+")
            let shown = reported == nil || reported == "retry" ? "-" : reported!
            row.append("\(sorted)/\(shown)/\(timer.map { String(Int($0.rounded())) } ?? "-")")
        }
        return "\(name)\t\(row.joined(separator: " "))"
    }

    private func eventOf(_ step: [String: Any], _ now: Double) throws -> Stay.Event {
        switch step["event"] as? String {
        case "start": return .start
        case "timer": return .timer
        case "wake": return .wake
        case "online": return .online
        case "leave": return .leave
        case "close": return .close
        case "failure": return .failure(HousecountError("as the scenario has it"))
        case "token":
            let expiresAt = (step["expiresIn"] as? Double).map { now + $0 }
            return .token(expiresAt: expiresAt, issuedAt: (step["issuedAgo"] as? Double).map { now - $0 })
        case "answer":
            let value = step["body"] ?? NSNull()
            let body = try JSONSerialization.data(withJSONObject: value, options: .fragmentsAllowed)
            return event(status: try XCTUnwrap(step["status"] as? Int), retryAfter: step["retryAfter"] as? String, body: body)
        default:
            throw NSError(domain: "unknown event \(step)", code: 1)
        }
    }

    private func reportOf(_ reported: Stay.Outcome?) -> String? {
        switch reported {
        case .counted(let count): return "count \(count.viewers ?? -1)"
        case .retrying: return "retry"
        case .refused(let error): return "refused \(error.code)"
        case nil: return nil
        }
    }

    func testEveryKindOfAnswerIsACount() {
        XCTAssertEqual(fields(#"{"viewers":3,"sessions":4,"asOf":5,"complete":false,"recovering":true,"nextMs":29400}"#), [3, 4, 5, 0, 1, 29_400])
        XCTAssertEqual(fields("[3,287]"), [3, nil, nil, 1, 0, 28_700])
        XCTAssertEqual(fields(#"{"stage":"s","viewers":3,"nextMs":7}"#), [3, nil, nil, 1, 0, 7])
        for text in ["", "[]", "[1]", "null", "<html>", #"{"left":true}"#] { XCTAssertNil(fields(text), text) }
    }

    private func fields(_ message: String) -> [Double?]? {
        guard case .answer(_, let count?, _) = event(message: Data(message.utf8)) else { return nil }
        return [
            count.viewers.map { Double($0) }, count.sessions.map { Double($0) }, count.asOf.map { Double($0) },
            count.complete ? 1 : 0, count.recovering ? 1 : 0, count.nextMs,
        ]
    }

    func testTokensSayWhenTheyEnd() {
        // {"alg":"HS256"}.{"sub":"zoë?>","exp":1790000000}
        XCTAssertEqual(expiry("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ6b8OrPz4iLCJleHAiOjE3OTAwMDAwMDB9.x"), 1_790_000_000_000)
        for token in ["", "a", "a.b.c", "a.!.c", "a.e30.c"] { XCTAssertNil(expiry(token)) }
    }

    private func expiry(_ token: String) -> Double? {
        if case .token(let expiresAt, _) = event(token: token) { return expiresAt }
        return nil
    }
}
