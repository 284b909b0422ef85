package housecount

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull

class JsonTest {
    @Test
    fun readsWhatNodesAnswer() {
        val text = """ {"a": [1, -2.5e3, true, false, null, "zo\u00eb \"\\\/\n"], "b": {}, "c": [], "d": {"e": "f"}} """
        val expected = mapOf(
            "a" to listOf(1.0, -2500.0, true, false, null, "zoë \"\\/\n"),
            "b" to emptyMap<String, Any?>(),
            "c" to emptyList<Any?>(),
            "d" to mapOf("e" to "f"),
        )
        assertEquals<Any?>(expected, Json.parse(text))
    }

    @Test
    fun refusesWhatIsNotJson() {
        val texts = listOf(
            "", " ", "{", "[", "[1,]", "{\"a\"}", "{\"a\":}", "{a:1}", "tru", "nul", "1 2", "\"", "\"\\", "\"\\u12", "\"\\u+123\"", "\"\\x\"", "\"\n\"",
            "<html>", "-", "1e", "[1 2]", "[".repeat(100_000),
        )
        for (text in texts) assertFailsWith<IllegalArgumentException>(text.take(20)) { Json.parse(text) }
    }

    @Test
    fun writesWhatItReads() {
        val fields = mapOf("viewer" to "zoë \"\\ \u0001 🎭", "session" to null, "stage" to "a/b", "labels" to mapOf("\"" to "NO"))
        assertEquals<Any?>(fields.filterValues { it != null }, Json.parse(Json.write(fields)))
    }

    @Test
    fun readsWhenTokensEnd() {
        // {"alg":"HS256"}.{"sub":"zoë?>","exp":1790000000}
        val token = tokenOf("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ6b8OrPz4iLCJleHAiOjE3OTAwMDAwMDB9.x")
        assertEquals(1_790_000_000_000, token.expiresAt)
        assertNull(token.issuedAt)
        for (text in listOf("", "a", "a.b.c", "a.!.c", "a.e30.c")) assertNull(tokenOf(text).expiresAt, text)
    }
}
