package housecount_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	housecount "github.com/housecount/housecount/clients/go"
)

const deadline = 20 * time.Second

func newClient(t *testing.T, server string, options housecount.Options) *housecount.Client {
	t.Helper()
	client, err := housecount.New(server, options)
	must(t, err)
	return client
}

func open(t *testing.T) *housecount.Client {
	return newClient(t, os.Getenv("CLIENTS_URL"), housecount.Options{})
}

func newStage(t *testing.T) string {
	return fmt.Sprintf("%s-%d", t.Name(), time.Now().UnixNano())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T any](t *testing.T, what string, seen, expected T) {
	t.Helper()
	if fmt.Sprint(seen) != fmt.Sprint(expected) {
		t.Fatalf("%s: %v, expected %v", what, seen, expected)
	}
}

func refused(t *testing.T, err error, status int, code string) *housecount.Error {
	t.Helper()
	var refusal *housecount.Error
	if !errors.As(err, &refusal) || refusal.Status != status || refusal.Code != code || refusal.Detail == "" {
		t.Fatalf("%v, expected %d %s", err, status, code)
	}
	return refusal
}

func until(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("did not come true within %v", deadline)
		}
	}
}

func collect[T any](t *testing.T, items iter.Seq2[T, error]) []T {
	t.Helper()
	var all []T
	for item, err := range items {
		must(t, err)
		all = append(all, item)
	}
	return all
}

// node is a node that a test starts, kills and starts again, at one address.
type node struct {
	url, address, data string
	settings           []string
	command            *exec.Cmd
}

func newNode(t *testing.T, settings ...string) *node {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := free.Addr().String()
	must(t, free.Close())
	mine := &node{url: "http://" + address, address: address, data: t.TempDir(), settings: settings}
	t.Cleanup(mine.kill)
	return mine
}

func (n *node) start(t *testing.T) {
	args := []string{"serve", "--listen", n.address, "--data", n.data, "--set", "interval=1s", "--set", "ttl=4s"}
	for _, setting := range n.settings {
		args = append(args, "--set", setting)
	}
	n.command = exec.Command(os.Getenv("CLIENTS_BIN"), args...)
	must(t, n.command.Start())
	until(t, func() bool {
		answer, err := http.Get(n.url + "/readyz")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		return answer.StatusCode == 200
	})
}

func (n *node) kill() {
	if n.command != nil {
		_ = n.command.Process.Kill()
		_ = n.command.Wait()
		n.command = nil
	}
}

func TestHeartbeatAndLeave(t *testing.T) {
	client, ctx, stage := open(t), context.Background(), newStage(t)
	one, err := client.SendHeartbeat(ctx, housecount.Heartbeat{Stage: stage, Viewer: "ann", Session: "tab 1"}, "")
	must(t, err)
	if one.Viewers == nil || *one.Viewers != 1 || one.Sessions == nil || *one.Sessions != 1 || !one.Complete || one.Coalesced != nil || one.NextMs <= 0 {
		t.Fatalf("%+v", one)
	}
	must(t, client.SendLeave(ctx, housecount.Heartbeat{Stage: stage, Viewer: "ann", Session: "tab 1"}, ""))
	until(t, func() bool {
		seen, err := client.ShowStage(ctx, stage)
		must(t, err)
		return seen.Viewers == 0
	})
}

func TestBatchesOfMoreThanACallTakes(t *testing.T) {
	client, ctx, stage := open(t), context.Background(), newStage(t)
	beats := func(yield func(housecount.Heartbeat) bool) {
		for index := range 20_003 {
			beat := housecount.Heartbeat{Stage: stage, Viewer: fmt.Sprint("viewer-", index)}
			if index == 3 {
				beat.Stage = "a stage with spaces"
			}
			if index == 10_007 {
				beat.Viewer = ""
			}
			if !yield(beat) {
				return
			}
		}
	}
	outcome, err := client.SendHeartbeats(ctx, beats)
	must(t, err)
	equal(t, "accepted", outcome.Accepted, 20_001)
	equal(t, "rejected", len(outcome.Rejected), 2)
	equal(t, "first", outcome.Rejected[0].Index, 3)
	equal(t, "second", outcome.Rejected[1].Index, 10_007)
	equal(t, "code", outcome.Rejected[1].Code, "invalid_viewer")

	long := strings.Repeat("ü", 60)
	byBytes := make([]housecount.Heartbeat, 9_000)
	for index := range byBytes {
		byBytes[index] = housecount.Heartbeat{Stage: stage, Viewer: fmt.Sprint(index, long), Session: strings.Repeat("s", 128)}
	}
	outcome, err = client.SendHeartbeats(ctx, slices.Values(byBytes))
	must(t, err)
	equal(t, "accepted", outcome.Accepted, 9_000)
	seen, err := client.ShowStage(ctx, stage)
	must(t, err)
	equal(t, "viewers", seen.Viewers, 29_001)

	bad := []housecount.Heartbeat{{Stage: stage, Viewer: "a\nb"}, {Stage: "ü", Viewer: "ann"}}
	outcome, err = client.SendHeartbeats(ctx, slices.Values(bad))
	must(t, err)
	equal(t, "accepted of a batch that is refused whole", outcome.Accepted, 0)
	equal(t, "rejected of it", len(outcome.Rejected), 2)
	outcome, err = client.SendHeartbeats(ctx, slices.Values([]housecount.Heartbeat{}))
	must(t, err)
	equal(t, "accepted of none", outcome.Accepted, 0)
}

func TestListsAreReadPageByPage(t *testing.T) {
	client, ctx, stage := open(t), context.Background(), newStage(t)
	var beats []housecount.Heartbeat
	for index := range 7 {
		viewer := fmt.Sprint("viewer-", index)
		beats = append(beats, housecount.Heartbeat{Stage: stage, Viewer: viewer}, housecount.Heartbeat{Stage: fmt.Sprint(stage, "-", index), Viewer: viewer})
	}
	_, err := client.SendHeartbeats(ctx, slices.Values(beats))
	must(t, err)
	equal(t, "viewers", len(collect(t, client.ListStageViewers(ctx, stage, 3))), 7)
	var stages []string
	for each, err := range client.ListStages(ctx, 2) {
		must(t, err)
		if strings.HasPrefix(each.Stage, stage+"-") {
			stages = append(stages, each.Stage)
		}
		if len(stages) == 5 {
			break
		}
	}
	equal(t, "stages", strings.Join(stages, " "), fmt.Sprintf("%[1]s-0 %[1]s-1 %[1]s-2 %[1]s-3 %[1]s-4", stage))
	for _, err := range client.ListStageViewers(ctx, "", 0) {
		refused(t, err, 400, "invalid_stage")
	}
}

func TestWatchTimeAndHistory(t *testing.T) {
	client, ctx, stage, from := open(t), context.Background(), newStage(t), time.Now()
	ann := housecount.Heartbeat{Stage: stage, Viewer: "ann/bob +1&x=%"}
	_, err := client.SendHeartbeat(ctx, ann, "")
	must(t, err)
	time.Sleep(1_100 * time.Millisecond) // The time that is watched.
	_, err = client.SendHeartbeat(ctx, ann, "")
	must(t, err)
	times := housecount.Range{From: from, Intervals: true, Limit: 1}
	rows := collect(t, client.ListStageWatch(ctx, stage, times))
	if len(rows) != 1 || rows[0].Viewer != ann.Viewer || rows[0].WatchMs < 1_000 || len(rows[0].Intervals) != 1 {
		t.Fatalf("%+v", rows)
	}
	equal(t, "interval", rows[0].Intervals[0].To-rows[0].Intervals[0].From, rows[0].WatchMs)
	of := collect(t, client.ListViewerWatch(ctx, ann.Viewer, housecount.Range{From: from}))
	if len(of) != 1 || of[0].WatchMs != rows[0].WatchMs || of[0].Intervals != nil {
		t.Fatalf("%+v", of)
	}
	total := collect(t, client.ListWatch(ctx, housecount.Range{From: from, Step: time.Second}))
	if !slices.ContainsFunc(total, func(row housecount.StageWatchTotal) bool { return row.Stage == stage && len(row.History) > 0 }) {
		t.Fatalf("%+v", total)
	}
	history, err := client.ShowStageHistory(ctx, stage, housecount.Range{From: from, To: time.Now(), Step: time.Second})
	must(t, err)
	equal(t, "step", history.StepMs, 1_000)
	equal(t, "ttl", history.TtlMs, 4_000)
	_, err = client.ShowHistory(ctx, housecount.Range{})
	must(t, err)
	viewer, err := client.ShowViewer(ctx, ann.Viewer)
	must(t, err)
	equal(t, "online", viewer.Online, true)
}

func TestConfigurationAndAdministration(t *testing.T) {
	mine := newNode(t)
	mine.start(t)
	client, ctx, stage := newClient(t, mine.url, housecount.Options{}), context.Background(), "arn:aws:ivs:eu-central-1:1:stage/a+b%2Fc"
	made, err := client.CreateStage(ctx, stage, housecount.StageConfiguration{Name: "The final", Tags: map[string]string{"sport": "judo"}})
	must(t, err)
	equal(t, "name", *made.Name, "The final")
	_, err = client.CreateStage(ctx, stage, housecount.StageConfiguration{})
	refused(t, err, 409, "stage_exists")
	changed, err := client.ChangeStage(ctx, stage, map[string]any{"name": nil, "tags": map[string]any{"sport": nil, "hall": "2"}})
	must(t, err)
	if changed.Name != nil || changed.Tags["hall"] != "2" || len(changed.Tags) != 1 {
		t.Fatalf("%+v", changed)
	}
	_, err = client.SendHeartbeat(ctx, housecount.Heartbeat{Stage: stage, Viewer: "ann"}, "")
	must(t, err)
	saved, err := client.SaveSnapshots(ctx)
	must(t, err)
	equal(t, "outcome", saved.Outcome, "saved")
	snapshots := collect(t, client.ListStageSnapshots(ctx, stage, housecount.Range{}))
	equal(t, "snapshots", len(snapshots), 1)
	restored, err := client.RestoreCounts(ctx)
	must(t, err)
	equal(t, "restored", restored.Restored, true)
	_, err = client.DeleteStage(ctx, stage)
	must(t, err)
	cost, err := client.ShowCost(ctx)
	must(t, err)
	if cost.Redis != nil || len(cost.Plans) == 0 {
		t.Fatalf("%+v", cost)
	}
	stats, err := client.ShowStats(ctx)
	must(t, err)
	equal(t, "viewers", stats.Viewers, 1)
}

func TestTokensAndKeys(t *testing.T) {
	ctx, stage, secret := context.Background(), newStage(t), os.Getenv("CLIENTS_SECRET")
	client := newClient(t, os.Getenv("CLIENTS_KEYED_URL"), housecount.Options{})
	beat := housecount.Heartbeat{Stage: stage, Viewer: "ann", Session: "tv"}
	all, prefix := "", stage[:5]
	_, err := client.SendHeartbeat(ctx, beat, "")
	refused(t, err, 401, "token_missing")
	for _, claims := range []housecount.TokenClaims{
		{Stage: stage},
		{Stage: stage, Session: "tv"},
		{StagePrefix: &prefix},
		{StagePrefix: &all, NotBefore: time.Now().Add(-5 * time.Second)},
	} {
		claims.Viewer, claims.TTL = "ann", time.Minute
		token, err := housecount.SignToken(secret+"\n", claims)
		must(t, err)
		_, err = client.SendHeartbeat(ctx, beat, token)
		must(t, err)
		beat := beat
		beat.Viewer = "bob"
		_, err = client.SendHeartbeat(ctx, beat, token)
		refused(t, err, 403, "token_mismatch")
	}
	forged, err := housecount.SignToken(strings.Repeat("x", 32), housecount.TokenClaims{Viewer: "ann", Stage: stage, TTL: time.Minute})
	must(t, err)
	_, err = client.SendHeartbeat(ctx, beat, forged)
	refused(t, err, 401, "token_invalid")
	expired, err := housecount.SignToken(secret, housecount.TokenClaims{Viewer: "ann", Stage: stage, TTL: -time.Minute})
	must(t, err)
	_, err = client.SendHeartbeat(ctx, beat, expired)
	refused(t, err, 401, "token_expired")
	for _, bad := range []housecount.TokenClaims{{}, {Stage: "a", StagePrefix: &all}} {
		if _, err := housecount.SignToken(secret, bad); err == nil {
			t.Fatal("signed a token that no node takes")
		}
	}
	if _, err := housecount.SignToken(strings.Repeat("x", 31), housecount.TokenClaims{Stage: "a"}); err == nil {
		t.Fatal("signed with a short secret")
	}

	_, err = client.SendHeartbeats(ctx, slices.Values([]housecount.Heartbeat{beat}))
	refused(t, err, 401, "unauthorized")
	operator := newClient(t, os.Getenv("CLIENTS_KEYED_URL"), housecount.Options{Key: os.Getenv("CLIENTS_KEY")})
	outcome, err := operator.SendHeartbeats(ctx, slices.Values([]housecount.Heartbeat{beat}))
	must(t, err)
	equal(t, "accepted", outcome.Accepted, 1)

	hidden := stage + "-hidden"
	short, err := housecount.SignToken(secret, housecount.TokenClaims{Viewer: "ann", Stage: stage, TTL: 2 * time.Second})
	must(t, err)
	var counts int
	for event, err := range client.StreamCounts(ctx, housecount.LiveOptions{Stages: []string{stage}, Token: short}) {
		if err != nil {
			refused(t, err, 0, "token_expired")
		} else {
			equal(t, "viewers", *event.Count.Viewers, 1)
			counts++
		}
	}
	equal(t, "a stream ends with its token, after a count", counts > 0, true)
	_, err = operator.CreateStage(ctx, hidden, housecount.StageConfiguration{PublicCount: "hidden"})
	must(t, err)
	token, err := housecount.SignToken(secret, housecount.TokenClaims{Viewer: "ann", Stage: hidden, TTL: time.Minute})
	must(t, err)
	for event, err := range client.StreamCounts(ctx, housecount.LiveOptions{Stages: []string{hidden}, Token: token}) {
		must(t, err)
		equal(t, "a hidden count", event.Count.Viewers == nil && event.Count.Sessions == nil, true)
		break
	}
	for _, err := range client.StreamCounts(ctx, housecount.LiveOptions{Stages: []string{stage}, Token: "no.such.token"}) {
		refused(t, err, 401, "token_invalid")
	}
}

func TestLiveCountsComeBackAfterAKill(t *testing.T) {
	mine := newNode(t)
	mine.start(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, stage := newClient(t, mine.url, housecount.Options{RetryFor: time.Minute}), newStage(t)
	hasReset, hasTotals, seen := false, false, 0
	for event, err := range client.StreamCounts(ctx, housecount.LiveOptions{Stages: []string{stage}, Totals: true}) {
		must(t, err)
		hasReset, hasTotals = hasReset || event.IsReset, hasTotals || event.Totals != nil
		if event.Count == nil {
			continue
		}
		seen++
		if seen == 1 {
			mine.kill()
			mine.start(t)
			_, err := client.SendHeartbeat(ctx, housecount.Heartbeat{Stage: stage, Viewer: "ann"}, "")
			must(t, err)
		}
		if *event.Count.Viewers == 1 {
			break
		}
	}
	equal(t, "another process cannot tell what was missed", hasReset, true)
	equal(t, "totals", hasTotals, true)
	cancel()
	for _, err := range client.StreamCounts(ctx, housecount.LiveOptions{}) {
		equal(t, "a stream ends with its context", errors.Is(err, context.Canceled), true)
	}
}

func TestACallWaitsForANodeThatStarts(t *testing.T) {
	mine, ctx, stage := newNode(t), context.Background(), newStage(t)
	client := newClient(t, mine.url, housecount.Options{RetryFor: time.Minute})
	done := make(chan error, 2)
	go func() {
		_, err := client.SendHeartbeat(ctx, housecount.Heartbeat{Stage: stage, Viewer: "ann"}, "")
		done <- err
	}()
	go func() {
		// No connection was made: nothing can have been carried out.
		_, err := client.CreateStage(ctx, stage, housecount.StageConfiguration{})
		done <- err
	}()
	mine.start(t)
	must(t, <-done)
	must(t, <-done)
}

func TestWithoutRetriesTheErrorComesAtOnce(t *testing.T) {
	_, err := newClient(t, newNode(t).url, housecount.Options{RetryFor: -1}).ShowStats(context.Background())
	refused(t, err, 0, "")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = newClient(t, newNode(t).url, housecount.Options{}).ShowStats(ctx)
	equal(t, "a call ends with its context", errors.Is(err, context.Canceled), true)
	for _, bad := range []string{"count.example.org", "ftp://x", "http://", "::"} {
		if _, err := housecount.New(bad, housecount.Options{}); err == nil {
			t.Fatalf("%q was taken", bad)
		}
	}
}

func TestRetryAfterIsWaitedFor(t *testing.T) {
	mine, ctx, stage := newNode(t, "limits.address_per_second=1", "limits.address_burst=5"), context.Background(), newStage(t)
	mine.start(t)
	once := newClient(t, mine.url, housecount.Options{RetryFor: -1})
	var err error
	for range 8 {
		if _, err = once.SendHeartbeat(ctx, housecount.Heartbeat{Stage: stage, Viewer: "bob"}, ""); err != nil {
			break
		}
	}
	refusal := refused(t, err, 429, "too_many_requests")
	equal(t, "the node asks for patience", refusal.RetryAfter >= time.Second, true)
	began := time.Now()
	_, err = newClient(t, mine.url, housecount.Options{}).SendHeartbeat(ctx, housecount.Heartbeat{Stage: stage, Viewer: "ann"}, "")
	must(t, err)
	equal(t, "not before the node said", time.Since(began) >= time.Second, true)
}
