package housecount

import java.util.concurrent.TimeUnit
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertNotEquals
import kotlin.test.assertTrue
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

/** [Watch] in real time, against real nodes, over a WebSocket and without one. */
@RunWith(Parameterized::class)
class WatchTest(private val webSocket: Boolean) {
    /** Reports to a listener. */
    private class Listener : WatchListener {
        val counts = mutableListOf<Count>()
        val retries = mutableListOf<Pair<HousecountException, Long>>()
        val errors = mutableListOf<HousecountException>()
        private val lock = ReentrantLock()
        private val changed = lock.newCondition()

        private fun add(change: () -> Unit) = lock.withLock {
            change()
            changed.signalAll()
        }

        override fun onCount(count: Count) = add { counts += count }

        override fun onRetry(error: HousecountException, waitMs: Long) = add { retries += error to waitMs }

        override fun onError(error: HousecountException) = add { errors += error }

        /** Waits until something holds, and returns the number of reports. */
        fun await(holds: Listener.() -> Boolean) = lock.withLock {
            var left = TimeUnit.SECONDS.toNanos(20)
            while (!holds()) {
                assertTrue(left > 0, "had no report within 20 s")
                left = changed.awaitNanos(left)
            }
        }
    }

    private val reported = Listener()
    private val stage = Nodes.newStage()

    private fun watch(url: String, session: String? = null, token: (() -> String)? = null) =
        Watch(WatchOptions(url, stage, "ann", session, token, listener = reported, webSocket = webSocket))

    @Test
    fun aViewerIsCountedUntilTheLeave() {
        watch(Nodes.url).use { watch ->
            reported.await { counts.size >= 6 } // Longer than the ttl of 4 s: heartbeats keep ann online.
            assertEquals(setOf(1L), reported.counts.map { it.viewers }.toSet())
            val wrong = reported.counts.filter { !it.complete || it.nextMs <= 0 }
            assertEquals(listOf(), wrong.map { listOf(it.complete, it.recovering, it.asOf, it.nextMs) })
            val session = Nodes.sessions(Nodes.url, stage).single()
            watch.leave()
            Nodes.until("the leave") { Nodes.sessions(Nodes.url, stage).isEmpty() }
            assertTrue(reported.retries.isEmpty() && reported.errors.isEmpty())
            watch.resume()
            val counted = reported.counts.size
            reported.await { counts.size > counted }
            assertNotEquals(session, Nodes.sessions(Nodes.url, stage).single(), "a session's name is not used again")
        }
        Nodes.until("the leave of a closed watch") { Nodes.sessions(Nodes.url, stage).isEmpty() }
    }

    @Test
    fun aNamedSessionConfirmsSoon() {
        watch(Nodes.url, session = "tv").use {
            reported.await { counts.size >= 2 }
            assertEquals(listOf("tv"), Nodes.sessions(Nodes.url, stage))
        }
    }

    @Test
    fun aSessionHasItsLabels() {
        val labels = mapOf("device" to "tv", "country" to "Å\"\\")
        val options = WatchOptions(Nodes.url, stage, "ann", listener = reported, webSocket = webSocket, labels = labels)
        fun valuesOf(key: String): List<Pair<Any?, Any?>> {
            val by = Nodes.get("${Nodes.url}/v1/stage?stage=$stage&by=$key")["by"] as Map<*, *>
            return (by["values"] as List<*>).map { (it as Map<*, *>)["value"] to it["viewers"] }
        }
        Watch(options).use { watch ->
            reported.await { counts.size >= 2 }
            for ((key, value) in labels) assertEquals(listOf<Pair<Any?, Any?>>(value to 1.0), valuesOf(key))
            watch.leave()
            Nodes.until("the leave") { Nodes.sessions(Nodes.url, stage).isEmpty() }
        }
        assertTrue(reported.retries.isEmpty() && reported.errors.isEmpty())
    }

    @Test
    fun aViewerOutlivesAKilledNode() {
        Node().use { node ->
            node.start()
            watch(node.url).use {
                reported.await { counts.isNotEmpty() }
                node.kill()
                reported.await { retries.isNotEmpty() }
                val counted = reported.counts.size
                node.start()
                reported.await { counts.size > counted }
                assertEquals(1, Nodes.sessions(node.url, stage).size)
                assertTrue(reported.errors.isEmpty())
                val (error, waitMs) = reported.retries.first()
                assertContains(error.message!!, "no answer")
                assertContains(500L..1_000L, waitMs)
            }
        }
    }

    @Test
    fun theNetworkIsBack() {
        Node().use { node ->
            watch(node.url).use { watch ->
                reported.await { retries.size >= 4 } // The next try is 4 to 8 s away.
                node.start()
                watch.online()
                reported.await { counts.isNotEmpty() }
                assertEquals(4, reported.retries.size)
            }
        }
    }

    @Test
    fun aRefusalIsReportedAndIsTheEnd() {
        watch(Nodes.keyedUrl, token = { Nodes.token("bob", stage, 60) }).use {
            reported.await { errors.isNotEmpty() }
            val error = reported.errors.single()
            assertEquals((if (webSocket) null else 403) to "token_mismatch", error.status to error.code)
        }
        assertTrue(reported.counts.isEmpty() && reported.retries.isEmpty())
    }

    @Test
    fun aViewersStreamsAreLimited() {
        val viewer = "viewer of $stage"
        val token = { Nodes.token(viewer, stage, 60, streams = 1) }
        fun watch(session: String, listener: Listener) =
            Watch(WatchOptions(Nodes.keyedUrl, stage, viewer, session, token, listener, webSocket = webSocket))
        watch("phone", reported).use {
            reported.await { counts.isNotEmpty() }
            val other = Listener()
            watch("tv", other).use { other.await { errors.isNotEmpty() } }
            val error = other.errors.single()
            assertEquals((if (webSocket) null else 409) to "too_many_streams", error.status to error.code)
            assertTrue(other.counts.isEmpty() && other.retries.isEmpty())
        }
        assertTrue(reported.errors.isEmpty())
    }

    @Test
    fun tokensAreRenewedWithoutALeave() {
        var asked = 0
        val token = {
            asked += 1
            Nodes.token("ann", stage, 2)
        }
        watch(Nodes.keyedUrl, token = token).use {
            reported.await { counts.size >= 6 }
            assertTrue(asked >= 3 && reported.errors.isEmpty(), "each holds for 2 s, and is replaced after three quarters of them")
            val answer = Nodes.get("${Nodes.keyedUrl}/v1/stage/watch?stage=$stage&intervals=true", Nodes.key)
            val watched = (answer["watch"] as List<*>).single() as Map<*, *>
            assertEquals(1, (watched["intervals"] as List<*>).size, "no gap")
            assertTrue(watched["watchMs"] as Double > 4_000)
        }
    }

    @Test
    fun aTokenSourceThatFailsIsAskedAgain() {
        var asked = 0
        val token = {
            asked += 1
            check(asked > 1) { "the backend is away" }
            Nodes.token("ann", stage, 60)
        }
        watch(Nodes.keyedUrl, token = token).use {
            reported.await { counts.isNotEmpty() }
            assertContains(reported.retries.first().first.message!!, "the backend is away")
        }
    }

    @Test
    fun aClosedWatchSaysNothing() {
        val watch = watch(Nodes.url)
        reported.await { counts.isNotEmpty() }
        watch.close()
        watch.close()
        watch.resume()
        watch.leave()
        Nodes.until("the leave") { Nodes.sessions(Nodes.url, stage).isEmpty() }
    }

    companion object {
        @JvmStatic
        @Parameterized.Parameters(name = "webSocket = {0}")
        fun transports(): List<Array<Any>> = listOf(arrayOf(true), arrayOf(false))
    }
}
