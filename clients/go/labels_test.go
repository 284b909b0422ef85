package housecount_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	housecount "github.com/housecount/housecount/clients/go"
)

// viewersOf returns the viewers of each value; sessions without the label are "-".
func viewersOf(by *housecount.LabelCounts) map[string]int64 {
	found := map[string]int64{}
	for _, row := range by.Values {
		found[valueOf(row.Value)] = row.Viewers
	}
	return found
}

func valueOf(value *string) string {
	if value == nil {
		return "-"
	}
	return *value
}

func TestCountsByLabel(t *testing.T) {
	client, ctx, stage := open(t), context.Background(), newStage(t)
	tv := housecount.Heartbeat{Stage: stage, Viewer: "ann", Session: "tv", Labels: map[string]string{"country": "NO", "device": "tv"}}
	_, err := client.SendHeartbeat(ctx, tv, "")
	must(t, err)
	_, err = client.SendHeartbeats(ctx, slices.Values([]housecount.Heartbeat{
		{Stage: stage, Viewer: "ann", Session: "phone", Labels: map[string]string{"country": "NO", "device": "phone"}},
		{Stage: stage, Viewer: "bob", Labels: map[string]string{"country": "SE"}},
		{Stage: stage, Viewer: "cid"},
	}))
	must(t, err)
	seen, err := client.ShowStageBy(ctx, stage, "country")
	must(t, err)
	equal(t, "viewers", seen.Viewers, 3)
	equal(t, "countries", viewersOf(seen.By), map[string]int64{"-": 1, "NO": 1, "SE": 1})
	equal(t, "keys", seen.Labels, []string{"country", "device"})
	seen, err = client.ShowStageBy(ctx, stage, "device")
	must(t, err)
	equal(t, "devices, of which ann has two", viewersOf(seen.By), map[string]int64{"-": 2, "phone": 1, "tv": 1})
	stats, err := client.ShowStatsBy(ctx, "country")
	must(t, err)
	equal(t, "key", stats.By.Key, "country")

	for _, labels := range []map[string]string{{"colour": "red"}, {"country": strings.Repeat("x", 33)}} {
		_, err = client.SendHeartbeat(ctx, housecount.Heartbeat{Stage: stage, Viewer: "ann", Labels: labels}, "")
		refused(t, err, 400, "invalid_labels")
	}
	_, err = client.ShowStatsBy(ctx, "colour")
	refused(t, err, 400, "invalid_query")
	// A leave goes without the labels of its heartbeat.
	must(t, client.SendLeave(ctx, tv, ""))
}

func TestLiveCountsByLabel(t *testing.T) {
	client, stage := open(t), newStage(t)
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	var seen []map[string]int64
	for event, err := range client.StreamCounts(ctx, housecount.LiveOptions{Stages: []string{stage}, By: "country"}) {
		must(t, err)
		if event.Labels == nil {
			continue
		}
		equal(t, "stage", event.Labels.Stage, stage)
		seen = append(seen, viewersOf(&event.Labels.By))
		if len(seen) == 1 {
			beat := housecount.Heartbeat{Stage: stage, Viewer: "ann", Labels: map[string]string{"country": "NO"}}
			_, err := client.SendHeartbeat(ctx, beat, "")
			must(t, err)
		}
		if seen[len(seen)-1]["NO"] == 1 {
			break
		}
	}
	equal(t, "at first", seen[0], map[string]int64{})
	for event, err := range client.StreamCounts(ctx, housecount.LiveOptions{Totals: true, By: "country"}) {
		must(t, err)
		if event.Labels != nil {
			equal(t, "stage of all", event.Labels.Stage, "")
			break
		}
	}
}

func TestThePastByLabel(t *testing.T) {
	client, ctx, stage, from := open(t), context.Background(), newStage(t), time.Now()
	beats := []housecount.Heartbeat{
		{Stage: stage, Viewer: "ann", Labels: map[string]string{"country": "NO"}},
		{Stage: stage, Viewer: "bob", Labels: map[string]string{"country": "SE"}},
		{Stage: stage, Viewer: "cid"},
	}
	_, err := client.SendHeartbeats(ctx, slices.Values(beats))
	must(t, err)
	time.Sleep(1_100 * time.Millisecond) // The time that is watched.
	_, err = client.SendHeartbeats(ctx, slices.Values(beats))
	must(t, err)
	times := housecount.Range{From: from, To: time.Now(), By: "country"}
	expected := map[string]int64{"-": 1, "NO": 1, "SE": 1}
	totals := func(by *housecount.LabelTotals) map[string]int64 {
		found := map[string]int64{}
		for _, row := range by.Values {
			found[valueOf(row.Value)] = row.Viewers
		}
		return found
	}
	watch, err := client.ShowStageWatchByLabel(ctx, stage, times)
	must(t, err)
	equal(t, "watch", totals(&watch.By), expected)
	for _, row := range watch.By.Values {
		equal(t, fmt.Sprint("watch time ", row.WatchMs), row.WatchMs >= 1_000, true)
	}
	all, err := client.ShowWatchByLabel(ctx, times)
	must(t, err)
	equal(t, "key", all.By.Key, "country")
	_, err = client.ShowWatchByLabel(ctx, housecount.Range{From: from})
	refused(t, err, 400, "invalid_query")
	history, err := client.ShowStageHistory(ctx, stage, times)
	must(t, err)
	equal(t, "history", totals(history.By), expected)
	whole, err := client.ShowHistory(ctx, times)
	must(t, err)
	equal(t, "key", whole.By.Key, "country")
	report, err := client.ShowStageReport(ctx, stage, times)
	must(t, err)
	equal(t, "unique viewers", report.UniqueViewers, 3)
	equal(t, "values", len(report.By.Values), 3)
	sum, err := client.ShowReport(ctx, housecount.Range{From: from})
	must(t, err)
	equal(t, "without a label", sum.By == nil, true)
	// A list has rows of viewers, also where its range names a label.
	equal(t, "rows", len(collect(t, client.ListStageWatch(ctx, stage, times))), 3)
}

func TestATokensLabelsAndStreams(t *testing.T) {
	ctx, stage, secret := context.Background(), newStage(t), os.Getenv("CLIENTS_SECRET")
	player := newClient(t, os.Getenv("CLIENTS_KEYED_URL"), housecount.Options{})
	operator := newClient(t, os.Getenv("CLIENTS_KEYED_URL"), housecount.Options{Key: os.Getenv("CLIENTS_KEY")})
	one, viewer := 1, "viewer of "+stage
	token, err := housecount.SignToken(secret, housecount.TokenClaims{
		Viewer: viewer, Stage: stage, TTL: time.Minute, Labels: map[string]string{"country": "NO"}, Streams: &one,
	})
	must(t, err)
	phone := housecount.Heartbeat{Stage: stage, Viewer: viewer, Session: "phone", Labels: map[string]string{"country": "SE", "device": "phone"}}
	_, err = player.SendHeartbeat(ctx, phone, token)
	must(t, err)
	for label, value := range map[string]string{"country": "NO", "device": "phone"} {
		seen, err := operator.ShowStageBy(ctx, stage, label)
		must(t, err)
		equal(t, label, viewersOf(seen.By), map[string]int64{value: 1})
	}
	tv := housecount.Heartbeat{Stage: stage, Viewer: viewer, Session: "tv"}
	_, err = player.SendHeartbeat(ctx, tv, token)
	active := refused(t, err, 409, "too_many_streams").Active
	equal(t, "streams", len(active), 1)
	equal(t, "stream", active[0].Stage+active[0].Session, stage+"phone")
	tv.Replaces = "phone"
	_, err = player.SendHeartbeat(ctx, tv, token)
	must(t, err)
	_, err = player.SendHeartbeat(ctx, phone, token)
	refused(t, err, 409, "displaced")
}
