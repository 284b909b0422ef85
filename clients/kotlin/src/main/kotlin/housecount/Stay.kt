package housecount

/** A node answers within about 5 s, if only that it cannot. */
private const val ANSWER_MS_MAX = 10_000L

/** A second heartbeat this soon outlives a late leave of the same session, since the node waits 3 s with leaves. */
private const val CONFIRM_MS = 2_000L

/** No answer makes a client beat more often. */
private const val WAIT_MS_MIN = 250L

/** No answer makes a client stay away for longer. */
private const val WAIT_MS_MAX = 3_600_000L
private const val BACK_OFF_MS_MIN = 1_000L
private const val BACK_OFF_MS_MAX = 30_000L

/** After so many failures the back-off has reached its greatest value; more doublings would only overflow. */
private const val DOUBLINGS_MAX = 5

/** A token is replaced before a heartbeat once so much of its life is over: long before it ends, whatever this clock says. */
private const val TOKEN_LIFE_PART = 0.75

/** These statuses say that the same heartbeat will never be taken. */
private val FINAL = setOf(400, 401, 403, 404, 409)

/** State of a stay: the event that it waits for. */
internal enum class State { IDLE, TOKEN, SENDING, WAITING, LEAVING, OVER }

/** Action for the driver: get a token, send a heartbeat, send a leave without waiting, or give up the request under way. */
internal enum class Request { TOKEN, HEARTBEAT, LEAVE, ABANDON }

/** Event of a stay. */
internal sealed class Event {
    object Start : Event()

    /** The stay's timer goes off. */
    object Timer : Event()

    /** The timer may be late, since the device slept. */
    object Wake : Event()

    /** The network is back. */
    object Online : Event()
    object Leave : Event()

    /** The process ends now. */
    object Close : Event()

    /** A node's answer to the heartbeat; [count] is there if it has one. */
    class Answer(val status: Int, val count: Count?, val error: HousecountException) : Event()

    /** No answer to the heartbeat, or no token. */
    class Failure(val error: HousecountException) : Event()

    /** A new token, with its `exp` and `iat` in Unix milliseconds where they can be read. */
    class Token(val expiresAt: Long?, val issuedAt: Long?) : Event()
}

/** Outcome of a heartbeat, for the caller. */
internal sealed class Outcome {
    class NewCount(val count: Count) : Outcome()

    class Retry(val error: HousecountException, val waitMs: Long) : Outcome()

    class Refusal(val error: HousecountException) : Outcome()
}

/** Consequences of an event: requests, in order, and an outcome for the caller. */
internal class Effects {
    val requests = mutableListOf<Request>()
    var outcome: Outcome? = null
}

/**
 * The state machine of one stay: one session's heartbeats from the first one to the leave.
 *
 * docs/CLIENTS.md has it as a table, and clients/scenarios.json as scenarios. The machine does no input or output and reads no
 * clock: a driver tells it events, does what it requests, and wakes it at [dueAt]. Times are milliseconds.
 *
 * @param hasOwnSession the caller named the session, so that the name may be used again
 * @param hasTokens tokens can be asked for
 * @param chance returns a number from 0 to 1
 */
internal class Stay(private val hasOwnSession: Boolean, private val hasTokens: Boolean, private val chance: () -> Double) {
    var state = State.IDLE
        private set

    /** Due time of the stay's one timer. */
    var dueAt: Long? = null
        private set
    private var failures = 0
    private var hasBeaten = false

    /** Whether the heartbeat under way, or the last one, is the first. */
    private var isFirst = true

    /** Time from which another token is needed. */
    private var tokenUntil = 0L

    /** Whether the last token was refused, and no heartbeat was taken since. */
    private var isTokenRefused = false

    /** Takes an event and returns what is to be done. An event that its state does not know changes nothing. */
    fun handle(now: Long, event: Event): Effects {
        val effects = Effects()
        if (state == State.OVER) return effects
        when (event) {
            is Event.Start -> if (state == State.IDLE) begin(now, effects)
            is Event.Token -> if (state == State.TOKEN) {
                tokenUntil = event.expiresAt?.let { now + (TOKEN_LIFE_PART * (it - (event.issuedAt ?: now))).toLong() } ?: Long.MAX_VALUE
                send(now, effects)
            }
            is Event.Failure -> when (state) {
                State.SENDING, State.TOKEN -> retry(now, effects, event.error)
                State.LEAVING -> end(effects)
                else -> Unit
            }
            is Event.Answer -> when (state) {
                State.SENDING -> answered(now, effects, event)
                State.LEAVING -> end(effects)
                else -> Unit
            }
            is Event.Timer -> if (dueAt != null) timer(now, effects)
            is Event.Wake -> if (dueAt?.let { now >= it } == true) timer(now, effects)
            is Event.Online -> online(now, effects)
            is Event.Leave -> leave(effects)
            is Event.Close -> {
                if (state != State.IDLE && state != State.WAITING) effects.requests += Request.ABANDON
                end(effects)
            }
        }
        return effects
    }

    private fun begin(now: Long, effects: Effects) {
        if (hasTokens && now >= tokenUntil) askForToken(now, effects) else send(now, effects)
    }

    private fun askForToken(now: Long, effects: Effects) {
        state = State.TOKEN
        dueAt = now + ANSWER_MS_MAX
        effects.requests += Request.TOKEN
    }

    private fun send(now: Long, effects: Effects) {
        state = State.SENDING
        dueAt = now + ANSWER_MS_MAX
        isFirst = !hasBeaten
        hasBeaten = true
        effects.requests += Request.HEARTBEAT
    }

    private fun answered(now: Long, effects: Effects, answer: Event.Answer) {
        val count = answer.count
        if (answer.status in 200..299 && count != null && count.nextMs > 0 && (count.viewers ?: 0) >= 0) {
            failures = 0
            isTokenRefused = false
            val isToConfirm = hasOwnSession && isFirst
            wait(now, if (isToConfirm) minOf(CONFIRM_MS, count.nextMs) else spread(count.nextMs, 0.95, 1.05))
            effects.outcome = Outcome.NewCount(count)
        } else if (answer.status == 401 && hasTokens && !isTokenRefused) {
            isTokenRefused = true
            tokenUntil = 0
            wait(now, 0)
        } else if (answer.status in FINAL) {
            state = State.OVER
            dueAt = null
            effects.outcome = Outcome.Refusal(answer.error)
        } else {
            retry(now, effects, answer.error)
        }
    }

    private fun retry(now: Long, effects: Effects, error: HousecountException) {
        failures += 1
        val backOff = minOf(BACK_OFF_MS_MIN shl minOf(failures - 1, DOUBLINGS_MAX), BACK_OFF_MS_MAX)
        val waitMs = wait(now, maxOf(spread(backOff, 0.5, 1.0), spread(error.retryAfterMs ?: 0, 1.0, 1.25)))
        effects.outcome = Outcome.Retry(error, waitMs)
    }

    private fun wait(now: Long, ms: Long): Long {
        val wait = ms.coerceIn(WAIT_MS_MIN, WAIT_MS_MAX)
        state = State.WAITING
        dueAt = now + wait
        return wait
    }

    private fun timer(now: Long, effects: Effects) {
        if (state == State.WAITING) return begin(now, effects)
        effects.requests += Request.ABANDON
        if (state == State.LEAVING) end(effects) else retry(now, effects, HousecountException("no answer within 10 s"))
    }

    private fun online(now: Long, effects: Effects) {
        if (state == State.IDLE || state == State.LEAVING) return
        if (state != State.WAITING) effects.requests += Request.ABANDON
        failures = 0
        begin(now, effects)
    }

    private fun leave(effects: Effects) {
        when (state) {
            // The heartbeat under way may arrive after this leave, and would bring the viewer back: another one follows.
            State.SENDING -> {
                state = State.LEAVING
                effects.requests += Request.LEAVE
            }
            State.LEAVING -> Unit
            else -> {
                if (state == State.TOKEN) effects.requests += Request.ABANDON
                end(effects)
            }
        }
    }

    private fun end(effects: Effects) {
        state = State.OVER
        dueAt = null
        if (hasBeaten) effects.requests += Request.LEAVE
    }

    private fun spread(ms: Long, least: Double, most: Double): Long = (ms * (least + (most - least) * chance())).toLong()
}
