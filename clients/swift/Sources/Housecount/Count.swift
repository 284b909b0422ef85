import Foundation

/// Viewers of a stage, and how far the count can be trusted.
public struct Count: Sendable, Equatable, Decodable {
    /// Distinct viewers; nil where the stage hides its count from players.
    public let viewers: Int?
    /// Players: a viewer with a phone and a laptop has two. Only with the option `sessions`, or from an older node.
    public let sessions: Int?
    /// Time of the count: Unix ms, by the server's clock. May be missing if the count is complete: then the count is of now.
    public let asOf: Int64?
    /// Whether every viewer is counted for sure. If not, the count may be low.
    public let complete: Bool
    /// Whether it is bridged from what was known before a loss.
    public let recovering: Bool
    /// Time until the next heartbeat, in ms. `Watch` keeps it.
    public let nextMs: Double

    private enum Key: String, CodingKey {
        case viewers, sessions, asOf, complete, recovering, nextMs
    }

    /// Reads all fields, those that have unusual values, or `[viewers, next]`, which counts in steps of 100 ms.
    public init(from decoder: Decoder) throws {
        if var list = try? decoder.unkeyedContainer() {
            viewers = try list.decode(Int.self)
            nextMs = 100 * (try list.decode(Double.self))
            sessions = nil
            asOf = nil
            complete = true
            recovering = false
            return
        }
        let fields = try decoder.container(keyedBy: Key.self)
        viewers = try fields.decodeIfPresent(Int.self, forKey: .viewers)
        sessions = try fields.decodeIfPresent(Int.self, forKey: .sessions)
        asOf = try fields.decodeIfPresent(Int64.self, forKey: .asOf)
        complete = try fields.decodeIfPresent(Bool.self, forKey: .complete) ?? true
        recovering = try fields.decodeIfPresent(Bool.self, forKey: .recovering) ?? false
        nextMs = try fields.decode(Double.self, forKey: .nextMs)
    }
}

/// A node refused a heartbeat, or no node answered it.
public struct HousecountError: Error, Sendable, Equatable {
    /// For programs, such as `token_expired`; empty if no housecount node answered.
    public let code: String
    /// For people: what is wrong, and what to do.
    public let detail: String
    /// The HTTP status; nil if no answer came.
    public let status: Int?
    /// The time that the node asked to wait for, in ms.
    public let retryAfterMs: Double?

    init(_ detail: String, code: String = "", status: Int? = nil, retryAfterMs: Double? = nil) {
        self.code = code
        self.detail = detail
        self.status = status
        self.retryAfterMs = retryAfterMs
    }
}
