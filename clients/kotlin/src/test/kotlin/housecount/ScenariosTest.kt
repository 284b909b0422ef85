package housecount

import java.io.File
import java.io.IOException
import kotlin.math.roundToLong
import kotlin.test.Test
import kotlin.test.assertEquals
import org.junit.AfterClass
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

private const val START = 1_790_000_000_000

/** Replays clients/scenarios.json against the state machine. */
@RunWith(Parameterized::class)
class ScenariosTest(private val name: String, private val scenario: Map<*, *>) {
    @Test
    fun replay() {
        val options = scenario["options"] as Map<*, *>
        val chance = options["chance"] as Double
        val stay = Stay(options["ownSession"] as Boolean, options["tokens"] as Boolean) { chance }
        val row = mutableListOf<String>()
        for (step in (scenario["steps"] as List<*>).map { it as Map<*, *> }) {
            val now = START + (step["at"] as Double).toLong()
            if (step["event"] == "timer") assertEquals(now, stay.dueAt, "the timer goes off when the scenario says")
            val effects = stay.handle(now, eventOf(step, now))
            val requests = effects.requests.map { it.name.lowercase() }
            val reported = reportOf(effects.outcome)
            val timer = stay.dueAt?.let { it - now }
            val seen = listOf(requests, reported, timer?.toDouble(), stay.state.name.lowercase())
            assertEquals(listOf("requests", "reported", "timer", "state").map { step[it] }, seen, "$step")
            // As a page shows it, which is silent about retries and orders no requests of one moment.
            val shown = if (reported == null || reported == "retry") "-" else reported
            row += "${requests.sorted().joinToString("+").ifEmpty { "-" }}/$shown/${timer ?: "-"}"
        }
        rows += "$name\t${row.joinToString(" ")}"
    }

    private fun eventOf(step: Map<*, *>, now: Long): Event = when (val event = step["event"]) {
        "start" -> Event.Start
        "timer" -> Event.Timer
        "wake" -> Event.Wake
        "online" -> Event.Online
        "leave" -> Event.Leave
        "close" -> Event.Close
        "failure" -> Event.Failure(HousecountException("no answer", cause = IOException("as the scenario has it")))
        "token" -> Event.Token(
            (step["expiresIn"] as Double?)?.let { now + it.roundToLong() },
            (step["issuedAgo"] as Double?)?.let { now - it.roundToLong() },
        )
        "answer" -> {
            val status = (step["status"] as Double).toInt()
            answerOf(HttpAnswer(status, step["retryAfter"] as String?, textOf(step["body"])))
        }
        else -> error("unknown event $event")
    }

    private fun reportOf(outcome: Outcome?): String? = when (outcome) {
        is Outcome.NewCount -> "count ${outcome.count.viewers}"
        is Outcome.Retry -> "retry"
        is Outcome.Refusal -> "refused ${outcome.error.code}"
        null -> null
    }

    companion object {
        private val rows = mutableListOf<String>()

        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        fun scenarios(): List<Array<Any?>> {
            val file = Json.parse(File(System.getenv("CLIENTS_SCENARIOS")).readText()) as Map<*, *>
            return (file["scenarios"] as List<*>).map { it as Map<*, *> }.map { arrayOf(it["name"], it) }
        }

        /** Writes the outcome table, which clients/outcomes compares with the other clients'. */
        @JvmStatic
        @AfterClass
        fun write() {
            System.getenv("CLIENTS_OUTCOMES")?.let { File(it).writeText(rows.joinToString("\n", postfix = "\n")) }
        }
    }
}

/** Writes any JSON value. */
private fun textOf(value: Any?): String = when (value) {
    is Map<*, *> -> value.entries.joinToString(",", "{", "}") { (name, each) -> "\"$name\":${textOf(each)}" }
    is String -> Json.write(mapOf("x" to value)).removeSurrounding("{\"x\":", "}")
    else -> "$value"
}
