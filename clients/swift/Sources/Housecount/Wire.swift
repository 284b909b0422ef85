import Foundation

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// Body of a heartbeat or a leave.
struct Beat: Encodable {
    let stage: String
    let viewer: String
    let session: String
    /// Labels of the session; a leave has none.
    var labels: [String: String]?
    /// `short` over HTTP: the answer may leave out what is as usual.
    var answer: String?
    /// Whether answers over a WebSocket have sessions.
    var sessions: Bool?
}

/// Answer to a leave over a WebSocket.
struct Left: Decodable {
    let left: Bool
}

private struct Problem: Decodable {
    let code: String
    let detail: String
    let retryAfterMs: Double?
}

/// Reads the answer to a heartbeat over a WebSocket. It has no status, so it gets that of the same answer over HTTP.
func event(message: Data) -> Stay.Event {
    let count = try? JSONDecoder().decode(Count.self, from: message)
    guard let problem = try? JSONDecoder().decode(Problem.self, from: message) else {
        return .answer(status: count == nil ? 503 : 200, count: count, error: HousecountError("no answer of a housecount node"))
    }
    let error = HousecountError(problem.detail, code: problem.code, retryAfterMs: problem.retryAfterMs)
    // Another token may succeed where the last one has ended.
    let isTokenOver = ["token_expired", "key_removed"].contains(problem.code)
    return .answer(status: problem.retryAfterMs != nil ? 503 : isTokenOver ? 401 : 400, count: nil, error: error)
}

/// Reads the answer to a heartbeat over HTTP, which may be anything where no node answered.
func event(status: Int, retryAfter: String?, body: Data) -> Stay.Event {
    let retryAfterMs = retryAfter.flatMap(Double.init).flatMap { $0 >= 0 ? 1_000 * $0 : nil }
    let error: HousecountError
    if let problem = try? JSONDecoder().decode(Problem.self, from: body) {
        error = HousecountError(problem.detail, code: problem.code, status: status, retryAfterMs: retryAfterMs)
    } else {
        let detail = "no housecount node answered, but something with status \(status)"
        error = HousecountError(detail, status: status, retryAfterMs: retryAfterMs)
    }
    return .answer(status: status, count: try? JSONDecoder().decode(Count.self, from: body), error: error)
}

/// Returns the event of a new token, with its times, unverified, where they can be read.
func event(token: String) -> Stay.Event {
    struct Claims: Decodable {
        let exp: Double?
        let iat: Double?
    }
    let unread = Stay.Event.token(expiresAt: nil, issuedAt: nil)
    let parts = token.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count > 1 else { return unread }
    var text = parts[1].replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
    text += String(repeating: "=", count: (4 - text.count % 4) % 4)
    guard let data = Data(base64Encoded: text), let claims = try? JSONDecoder().decode(Claims.self, from: data) else {
        return unread
    }
    return .token(expiresAt: claims.exp.map { 1_000 * $0 }, issuedAt: claims.iat.map { 1_000 * $0 })
}
