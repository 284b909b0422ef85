package housecount

/** Depth of arrays and objects that [Json] reads. A node's answers have three levels. */
private const val DEPTH_MAX = 64

/** As much JSON as a node's answers and tokens need, since neither Kotlin nor the JVM brings any. Objects are maps, numbers are doubles. */
internal object Json {
    /**
     * Reads a text.
     *
     * @throws IllegalArgumentException it is not JSON
     */
    fun parse(text: String): Any? = Reader(text).document()

    /** Writes an object of texts and booleans; what is null is left out. */
    fun write(fields: Map<String, Any?>): String =
        fields.entries.filter { it.value != null }.joinToString(",", "{", "}") { (name, value) ->
            "${quote(name)}:${value(value)}"
        }

    private fun value(value: Any?): String = when (value) {
        is Boolean -> "$value"
        is Map<*, *> -> write(value.mapKeys { "${it.key}" })
        else -> quote("$value")
    }

    private fun quote(text: String): String = buildString {
        append('"')
        for (char in text) {
            when {
                char == '"' || char == '\\' -> append('\\').append(char)
                char < ' ' -> append("\\u").append(char.code.toString(16).padStart(4, '0'))
                else -> append(char)
            }
        }
        append('"')
    }
}

private class Reader(private val text: String) {
    private var at = 0

    fun document(): Any? {
        val value = value(0)
        space()
        require(at == text.length) { "more text at $at" }
        return value
    }

    private fun value(depth: Int): Any? {
        require(depth < DEPTH_MAX) { "nested deeper than $DEPTH_MAX" }
        space()
        return when (peek()) {
            '{' -> members(depth)
            '[' -> elements(depth)
            '"' -> string()
            't' -> word("true", true)
            'f' -> word("false", false)
            'n' -> word("null", null)
            else -> number()
        }
    }

    private fun members(depth: Int): Map<String, Any?> {
        val found = mutableMapOf<String, Any?>()
        list('{', '}') {
            space()
            val name = string()
            space()
            expect(':')
            found[name] = value(depth + 1)
        }
        return found
    }

    private fun elements(depth: Int): List<Any?> {
        val found = mutableListOf<Any?>()
        list('[', ']') { found += value(depth + 1) }
        return found
    }

    private fun list(open: Char, close: Char, item: () -> Unit) {
        expect(open)
        space()
        if (peek() == close) {
            at += 1
            return
        }
        while (true) {
            item()
            space()
            if (peek() == close) break
            expect(',')
        }
        at += 1
    }

    private fun string(): String {
        expect('"')
        val found = StringBuilder()
        while (true) {
            val char = peek()
            at += 1
            when {
                char == '"' -> return found.toString()
                char == '\\' -> found.append(escaped())
                else -> {
                    require(char >= ' ') { "control character at ${at - 1}" }
                    found.append(char)
                }
            }
        }
    }

    private fun escaped(): Char {
        val char = peek()
        at += 1
        return when (char) {
            'b' -> '\b'
            'f' -> '\u000c'
            'n' -> '\n'
            'r' -> '\r'
            't' -> '\t'
            '"', '\\', '/' -> char
            'u' -> {
                require(at + 4 <= text.length) { "cut at $at" }
                val code = text.substring(at, at + 4)
                at += 4
                require(code.all { it in '0'..'9' || it in 'a'..'f' || it in 'A'..'F' }) { "no code at ${at - 4}" }
                code.toInt(16).toChar()
            }
            else -> throw IllegalArgumentException("no escape at ${at - 1}")
        }
    }

    private fun number(): Double {
        val from = at
        while (at < text.length && (text[at].isDigit() || text[at] in "+-.eE")) at += 1
        return text.substring(from, at).toDoubleOrNull() ?: throw IllegalArgumentException("no value at $from")
    }

    private fun word(word: String, value: Any?): Any? {
        require(text.startsWith(word, at)) { "no value at $at" }
        at += word.length
        return value
    }

    private fun space() {
        while (at < text.length && text[at] in " \t\r\n") at += 1
    }

    private fun peek(): Char {
        require(at < text.length) { "cut at $at" }
        return text[at]
    }

    private fun expect(char: Char) {
        require(peek() == char) { "no $char at $at" }
        at += 1
    }
}
