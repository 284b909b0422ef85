import Foundation
import XCTest

@testable import Housecount

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// `Watch` in real time, against the real node of clients/with-nodes.
final class WatchTests: XCTestCase {
    /// Reports of a watch.
    private actor Reports {
        var counts: [Count] = []
        var errors: [HousecountError] = []

        func add(_ event: WatchEvent) {
            switch event {
            case .count(let count): counts.append(count)
            case .refused(let error): errors.append(error)
            case .retry: break
            }
        }
    }

    private func url(_ name: String) throws -> URL {
        guard let text = ProcessInfo.processInfo.environment[name] else { throw XCTSkip("run by clients/with-nodes") }
        return try XCTUnwrap(URL(string: text))
    }

    private func until(_ holds: () async throws -> Bool) async throws {
        let end = Date().addingTimeInterval(20)
        while !(try await holds()) {
            if Date() > end { return XCTFail("did not come true within 20 s") }
            try await Task.sleep(nanoseconds: 50_000_000)
        }
    }

    private func viewers(_ node: URL, _ stage: String) async throws -> Int? {
        let (body, _) = try await URLSession.shared.data(from: XCTUnwrap(URL(string: "\(node)/v1/stage?stage=\(stage)")))
        return (try JSONSerialization.jsonObject(with: body) as? [String: Any])?["viewers"] as? Int
    }

    func testAViewerIsCountedUntilTheLeave() async throws {
        let node = try url("CLIENTS_URL")
        let stage = "swift-\(UUID())"
        let reported = Reports()
        let watch = Watch(url: node, stage: stage, viewer: "ann", labels: ["device": "tv"]) { event in Task { await reported.add(event) } }
        await watch.start()
        // Longer than the ttl of 4 s: heartbeats keep ann online.
        try await until { await reported.counts.count >= 6 }
        let seen = try await viewers(node, stage)
        XCTAssertEqual(seen, 1)
        await watch.leave()
        try await until { try await viewers(node, stage) == 0 }
        await watch.start()
        try await until { try await viewers(node, stage) == 1 }
        await watch.close()
        try await until { try await viewers(node, stage) == 0 }
    }

    func testARefusalIsReportedAndIsTheEnd() async throws {
        let node = try url("CLIENTS_KEYED_URL")
        let reported = Reports()
        let watch = Watch(url: node, stage: "a", viewer: "ann", token: { "no.such.token" }) { event in Task { await reported.add(event) } }
        await watch.start()
        try await until { await !reported.errors.isEmpty }
        let error = await reported.errors.first
        XCTAssertEqual(error?.status, 401)
        XCTAssertEqual(error?.code, "token_invalid")
    }
}
