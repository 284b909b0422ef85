package housecount

import java.util.concurrent.TimeUnit
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertNotEquals
import kotlin.test.assertTrue

/** [Watch] in real time, against real nodes. */
class WatchTest {
    /** What a listener was told. */
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

        /** Waits until something holds, and returns how much it was told. */
        fun await(holds: Listener.() -> Boolean) = lock.withLock {
            var left = TimeUnit.SECONDS.toNanos(20)
            while (!holds()) {
                assertTrue(left > 0, "was not told within 20 s")
                left = changed.awaitNanos(left)
            }
        }
    }

    private val told = Listener()
    private val stage = Nodes.newStage()

    private fun watch(url: String, session: String? = null, token: (() -> String)? = null) =
        Watch(WatchOptions(url, stage, "ann", session, token, listener = told))

    @Test
    fun aViewerIsCountedUntilTheLeave() {
        watch(Nodes.url).use { watch ->
            told.await { counts.size >= 6 } // Longer than the ttl of 4 s: heartbeats keep ann online.
            assertEquals(setOf(1L), told.counts.map { it.viewers }.toSet())
            assertTrue(told.counts.all { it.complete && it.asOf > 1_700_000_000_000 })
            val session = Nodes.sessions(Nodes.url, stage).single()
            watch.leave()
            Nodes.until("the leave") { Nodes.sessions(Nodes.url, stage).isEmpty() }
            assertTrue(told.retries.isEmpty() && told.errors.isEmpty())
            watch.resume()
            val counted = told.counts.size
            told.await { counts.size > counted }
            assertNotEquals(session, Nodes.sessions(Nodes.url, stage).single(), "a session's name is not used again")
        }
        Nodes.until("the leave of a closed watch") { Nodes.sessions(Nodes.url, stage).isEmpty() }
    }

    @Test
    fun aNamedSessionConfirmsSoon() {
        watch(Nodes.url, session = "tv").use {
            told.await { counts.size >= 2 }
            assertEquals(listOf("tv"), Nodes.sessions(Nodes.url, stage))
        }
    }

    @Test
    fun aViewerOutlivesAKilledNode() {
        Node().use { node ->
            node.start()
            watch(node.url).use {
                told.await { counts.isNotEmpty() }
                node.kill()
                told.await { retries.isNotEmpty() }
                val counted = told.counts.size
                node.start()
                told.await { counts.size > counted }
                assertEquals(1, Nodes.sessions(node.url, stage).size)
                assertTrue(told.errors.isEmpty())
                val (error, waitMs) = told.retries.first()
                assertContains(error.message!!, "no answer")
                assertContains(500L..1_000L, waitMs)
            }
        }
    }

    @Test
    fun theNetworkIsBack() {
        Node().use { node ->
            watch(node.url).use { watch ->
                told.await { retries.size >= 4 } // The next try is 4 to 8 s away.
                node.start()
                watch.online()
                told.await { counts.isNotEmpty() }
                assertEquals(4, told.retries.size)
            }
        }
    }

    @Test
    fun aRefusalIsToldAndIsTheEnd() {
        watch(Nodes.keyedUrl, token = { Nodes.token("bob", stage, 60) }).use {
            told.await { errors.isNotEmpty() }
            val error = told.errors.single()
            assertEquals(403 to "token_mismatch", error.status to error.code)
        }
        assertTrue(told.counts.isEmpty() && told.retries.isEmpty())
    }

    @Test
    fun tokensAreRenewedWithoutALeave() {
        var asked = 0
        val token = {
            asked += 1
            Nodes.token("ann", stage, 2)
        }
        watch(Nodes.keyedUrl, token = token).use {
            told.await { counts.size >= 6 }
            assertTrue(asked >= 3 && told.errors.isEmpty(), "each holds for 2 s, and is replaced after three quarters of them")
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
            told.await { counts.isNotEmpty() }
            assertContains(told.retries.first().first.message!!, "the backend is away")
        }
    }

    @Test
    fun aClosedWatchSaysNothing() {
        val watch = watch(Nodes.url)
        told.await { counts.isNotEmpty() }
        watch.close()
        watch.close()
        watch.resume()
        watch.leave()
        Nodes.until("the leave") { Nodes.sessions(Nodes.url, stage).isEmpty() }
    }
}
