package housecount

/** Viewers of a stage, and how far the count can be trusted. */
public class Count(
    /** Distinct viewers; null where the stage hides its count from players. */
    public val viewers: Long?,
    /** Players: a viewer with a phone and a laptop has two. Only with [WatchOptions.sessions], or from an older node. */
    public val sessions: Long?,
    /** Time of the count: Unix ms, by the server's clock. May be missing if the count is complete: then the count is of now. */
    public val asOf: Long?,
    /** Whether every viewer is counted for sure. If not, the count may be low. */
    public val complete: Boolean,
    /** Whether it is bridged from what was known before a loss. */
    public val recovering: Boolean,
    /** Time until the next heartbeat. [Watch] keeps it. */
    public val nextMs: Long,
) {
    override fun toString(): String = "Count(viewers=$viewers, sessions=$sessions, asOf=$asOf, complete=$complete)"
}

/** A node refused a heartbeat, or no node answered it. */
public class HousecountException(
    message: String,
    /** For programs, such as `token_expired`; `""` if no housecount node answered. */
    public val code: String = "",
    /** The HTTP status; null if no answer came. */
    public val status: Int? = null,
    /** The time that the node asked to wait for. */
    public val retryAfterMs: Long? = null,
    cause: Throwable? = null,
) : Exception(message, cause)
