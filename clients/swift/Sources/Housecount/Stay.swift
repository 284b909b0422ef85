/// A node answers within about 5 s, if only that it cannot.
private let answerMsMax = 10_000.0
/// A second heartbeat this soon outlives a late leave of the same session, since the node waits 3 s with leaves.
private let confirmMs = 2_000.0
/// No answer makes a client beat more often.
private let waitMsMin = 250.0
/// No answer makes a client stay away for longer.
private let waitMsMax = 3_600_000.0
private let backOffMsMin = 1_000.0
private let backOffMsMax = 30_000.0
/// After so many failures the back-off has reached its greatest value.
private let doublingsMax = 5
/// A token is replaced before a heartbeat once so much of its life is over: long before it ends, whatever this clock says.
private let tokenLifePart = 0.75
/// These statuses say that the same heartbeat will never be taken.
private let finalStatuses: Set<Int> = [400, 401, 403, 404, 409]

/// The state machine of one stay: one session's heartbeats from the first one to the leave.
///
/// docs/CLIENTS.md has it as a table, and clients/scenarios.json as scenarios. The machine does no input or output and reads no
/// clock: a driver tells it events, does what it requests, and wakes it at `dueAt`. Times are milliseconds.
struct Stay {
    /// State of a stay: the event that it waits for.
    enum State: String {
        case idle, token, sending, waiting, leaving, over
    }

    /// Action for the driver: get a token, send a heartbeat, send a leave without waiting, or give up the request under
    /// way.
    enum Request: String {
        case token, heartbeat, leave, abandon
    }

    /// Event of a stay.
    enum Event {
        case start
        /// The stay's timer goes off.
        case timer
        /// The timer may be late, since the device slept.
        case wake
        /// The network is back.
        case online
        case leave
        /// The process ends now.
        case close
        /// A node's answer to the heartbeat; `count` is there if it has one.
        case answer(status: Int, count: Count?, error: HousecountError)
        /// No answer to the heartbeat, or no token.
        case failure(HousecountError)
        /// A new token, with its `exp` and `iat` in Unix milliseconds where they can be read.
        case token(expiresAt: Double?, issuedAt: Double?)
    }

    /// Outcome of a heartbeat, for the caller.
    enum Outcome: Equatable {
        case counted(Count)
        case retrying(HousecountError, waitMs: Double)
        case refused(HousecountError)
    }

    /// Consequences of an event: requests, in order, and an outcome for the caller.
    struct Effects {
        var requests: [Request] = []
        var outcome: Outcome?
    }

    private(set) var state = State.idle
    /// Due time of the stay's one timer.
    private(set) var dueAt: Double?
    private let hasOwnSession: Bool
    private let hasTokens: Bool
    private let chance: () -> Double
    private var failures = 0
    private var hasBeaten = false
    /// Whether the heartbeat under way, or the last one, is the first.
    private var isFirst = true
    /// Time from which another token is needed.
    private var tokenUntil = 0.0
    /// Whether the last token was refused, and no heartbeat was taken since.
    private var isTokenRefused = false

    /// `hasOwnSession`: the caller named the session, so that the name may be used again. `hasTokens`: tokens can be asked for.
    init(hasOwnSession: Bool, hasTokens: Bool, chance: @escaping () -> Double = { Double.random(in: 0...1) }) {
        self.hasOwnSession = hasOwnSession
        self.hasTokens = hasTokens
        self.chance = chance
    }

    /// Takes an event and returns what is to be done. An event that its state does not know changes nothing.
    mutating func handle(now: Double, _ event: Event) -> Effects {
        var effects = Effects()
        if state == .over { return effects }
        switch event {
        case .start:
            if state == .idle { begin(now, &effects) }
        case .token(let expiresAt, let issuedAt):
            if state == .token {
                tokenUntil = expiresAt.map { now + tokenLifePart * ($0 - (issuedAt ?? now)) } ?? .infinity
                send(now, &effects)
            }
        case .failure(let error):
            if state == .sending || state == .token {
                retry(now, &effects, error)
            } else if state == .leaving {
                end(&effects)
            }
        case .answer(let status, let count, let error):
            if state == .sending {
                answered(now, &effects, status, count, error)
            } else if state == .leaving {
                end(&effects)
            }
        case .timer:
            if dueAt != nil { timer(now, &effects) }
        case .wake:
            if let dueAt, now >= dueAt { timer(now, &effects) }
        case .online:
            online(now, &effects)
        case .leave:
            leave(&effects)
        case .close:
            if state != .idle && state != .waiting { effects.requests.append(.abandon) }
            end(&effects)
        }
        return effects
    }

    private mutating func begin(_ now: Double, _ effects: inout Effects) {
        if hasTokens && now >= tokenUntil {
            askForToken(now, &effects)
        } else {
            send(now, &effects)
        }
    }

    private mutating func askForToken(_ now: Double, _ effects: inout Effects) {
        state = .token
        dueAt = now + answerMsMax
        effects.requests.append(.token)
    }

    private mutating func send(_ now: Double, _ effects: inout Effects) {
        state = .sending
        dueAt = now + answerMsMax
        isFirst = !hasBeaten
        hasBeaten = true
        effects.requests.append(.heartbeat)
    }

    private mutating func answered(
        _ now: Double, _ effects: inout Effects, _ status: Int, _ count: Count?, _ error: HousecountError
    ) {
        if (200..<300).contains(status), let count, count.nextMs > 0, (count.viewers ?? 0) >= 0 {
            failures = 0
            isTokenRefused = false
            let isToConfirm = hasOwnSession && isFirst
            wait(now, isToConfirm ? min(confirmMs, count.nextMs) : spread(count.nextMs, 0.95, 1.05))
            effects.outcome = .counted(count)
        } else if status == 401 && hasTokens && !isTokenRefused {
            isTokenRefused = true
            tokenUntil = 0
            wait(now, 0)
        } else if finalStatuses.contains(status) {
            state = .over
            dueAt = nil
            effects.outcome = .refused(error)
        } else {
            retry(now, &effects, error)
        }
    }

    private mutating func retry(_ now: Double, _ effects: inout Effects, _ error: HousecountError) {
        failures += 1
        let doublings = min(failures - 1, doublingsMax)
        let backOff = min(backOffMsMin * Double(1 << doublings), backOffMsMax)
        let waitMs = wait(now, max(spread(backOff, 0.5, 1), spread(error.retryAfterMs ?? 0, 1, 1.25)))
        effects.outcome = .retrying(error, waitMs: waitMs)
    }

    @discardableResult
    private mutating func wait(_ now: Double, _ ms: Double) -> Double {
        let wait = min(max(ms, waitMsMin), waitMsMax)
        state = .waiting
        dueAt = now + wait
        return wait
    }

    private mutating func timer(_ now: Double, _ effects: inout Effects) {
        if state == .waiting {
            begin(now, &effects)
            return
        }
        effects.requests.append(.abandon)
        if state == .leaving {
            end(&effects)
        } else {
            retry(now, &effects, HousecountError("no answer within 10 s"))
        }
    }

    private mutating func online(_ now: Double, _ effects: inout Effects) {
        if state == .idle || state == .leaving { return }
        if state != .waiting { effects.requests.append(.abandon) }
        failures = 0
        begin(now, &effects)
    }

    private mutating func leave(_ effects: inout Effects) {
        switch state {
        case .sending:
            // The heartbeat under way may arrive after this leave, and would bring the viewer back: another one follows.
            state = .leaving
            effects.requests.append(.leave)
        case .leaving:
            break
        default:
            if state == .token { effects.requests.append(.abandon) }
            end(&effects)
        }
    }

    private mutating func end(_ effects: inout Effects) {
        state = .over
        dueAt = nil
        if hasBeaten { effects.requests.append(.leave) }
    }

    private func spread(_ ms: Double, _ least: Double, _ most: Double) -> Double {
        ms * (least + (most - least) * chance())
    }
}
