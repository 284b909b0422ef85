// Package housecount calls a housecount server: heartbeats, batches, viewers' tokens and typed reads. Standard library only.
package housecount

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// heartbeatsMax is how many heartbeats a node takes in a call.
	heartbeatsMax = 10_000
	// bodyBytesMax is how many bytes a call's body has; a node takes 1 MiB.
	bodyBytesMax  = 1_000_000
	answerMax     = 64 << 20
	backOffMin    = time.Second
	backOffMax    = 30 * time.Second
	retryForUsual = 30 * time.Second
	timeoutUsual  = 10 * time.Second
)

// retried are the statuses that say that the same call may be taken later.
var retried = []int{408, 429, 502, 503, 504}

// Options say how a client calls. The zero value is good.
type Options struct {
	// Key is an operator's key, where the server asks for one.
	Key string
	// RetryFor is how long a call that fails for now (no answer, 408, 429, 502, 503, 504) is tried again: 30 s if it is 0, never if
	// it is negative.
	RetryFor time.Duration
	// Timeout is how long one try may take: 10 s if it is 0.
	Timeout time.Duration
	// HTTP sends the requests: http.DefaultClient if it is nil. Its own Timeout must be 0 for StreamCounts.
	HTTP *http.Client
}

// Client calls a housecount server. It may be used by many goroutines.
type Client struct {
	url      string
	key      string
	retryFor time.Duration
	timeout  time.Duration
	http     *http.Client
}

// New makes a client for a server such as "https://count.example.org"; a path is kept.
func New(server string, options Options) (*Client, error) {
	parsed, err := url.Parse(server)
	if err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Host == "" {
		return nil, fmt.Errorf("housecount: %q is not an address such as https://count.example.org", server)
	}
	client := &Client{strings.TrimRight(server, "/"), options.Key, options.RetryFor, options.Timeout, options.HTTP}
	if client.retryFor == 0 {
		client.retryFor = retryForUsual
	}
	if client.timeout == 0 {
		client.timeout = timeoutUsual
	}
	if client.http == nil {
		client.http = http.DefaultClient
	}
	return client, nil
}

// Heartbeat says that this session of a viewer watches this stage now.
type Heartbeat struct {
	Stage   string `json:"stage"`
	Viewer  string `json:"viewer"`
	Session string `json:"session,omitempty"`
	// Labels by the keys of the node's setting labels, such as {"country": "NO"}. A session keeps those of its first heartbeat.
	Labels map[string]string `json:"labels,omitempty"`
	// Replaces is the session on the same stage whose place this one takes, where a viewer's streams are limited.
	Replaces string `json:"replaces,omitempty"`
}

// SendHeartbeat says that a viewer watches a stage now; the answer's NextMs says when to say so again. The token may be empty.
func (c *Client) SendHeartbeat(ctx context.Context, beat Heartbeat, token string) (HeartbeatResponse, error) {
	return answer[HeartbeatResponse](c, ctx, call{method: "POST", path: "/v1/heartbeat", json: beat, token: token})
}

// SendLeave says that a session has stopped; without a session all of the viewer's on that stage. The token may be empty.
func (c *Client) SendLeave(ctx context.Context, beat Heartbeat, token string) error {
	_, err := c.send(ctx, call{method: "POST", path: "/v1/leave", json: Heartbeat{Stage: beat.Stage, Viewer: beat.Viewer, Session: beat.Session}, token: token})
	return err
}

// SendHeartbeats sends heartbeats of many viewers, in as few calls as a node takes. It needs a key with the scope beats.
//
// Heartbeats that a node refuses are in Rejected, each with its index. After an error all may be sent again: to repeat a heartbeat
// changes nothing but its time.
func (c *Client) SendHeartbeats(ctx context.Context, beats iter.Seq[Heartbeat]) (BatchResponse, error) {
	outcome := BatchResponse{Rejected: []RejectedHeartbeat{}}
	var lines bytes.Buffer
	var first, count int64
	flush := func() error {
		if count == 0 {
			return nil
		}
		body, err := c.send(ctx, call{method: "POST", path: "/v1/heartbeats", lines: lines.Bytes()})
		if err != nil {
			return err
		}
		var part BatchResponse
		if err := json.Unmarshal(body, &part); err != nil || part.Rejected == nil {
			return notOurs(body)
		}
		outcome.Accepted += part.Accepted
		if part.Coalesced != nil {
			sum := *part.Coalesced
			if outcome.Coalesced != nil {
				sum += *outcome.Coalesced
			}
			outcome.Coalesced = &sum
		}
		for _, each := range part.Rejected {
			each.Index += first
			outcome.Rejected = append(outcome.Rejected, each)
		}
		first, count = first+count, 0
		lines.Reset()
		return nil
	}
	for beat := range beats {
		line, err := json.Marshal(beat)
		if err != nil {
			return outcome, err
		}
		if count == heartbeatsMax || (count > 0 && lines.Len()+len(line)+1 > bodyBytesMax) {
			if err := flush(); err != nil {
				return outcome, err
			}
		}
		lines.Write(append(line, '\n'))
		count++
	}
	return outcome, flush()
}

// ShowStats returns how many watch altogether; a viewer of two stages counts once.
func (c *Client) ShowStats(ctx context.Context) (StatsResponse, error) {
	return answer[StatsResponse](c, ctx, call{method: "GET", path: "/v1/stats"})
}

// ShowStage returns a stage's count and configuration.
func (c *Client) ShowStage(ctx context.Context, stage string) (StageResponse, error) {
	return answer[StageResponse](c, ctx, call{method: "GET", path: "/v1/stage", query: url.Values{"stage": {stage}}})
}

// ShowViewer returns where a viewer is online.
func (c *Client) ShowViewer(ctx context.Context, viewer string) (ViewerResponse, error) {
	return answer[ViewerResponse](c, ctx, call{method: "GET", path: "/v1/viewer", query: url.Values{"viewer": {viewer}}})
}

// Range says which time is read, and how. The zero value is the last day.
type Range struct {
	// From is included; a day before To if it is zero.
	From time.Time
	// To is not included; now if it is zero.
	To time.Time
	// Step is how long a step of a history is; 0 for what the server chooses.
	Step time.Duration
	// Intervals asks when exactly was watched.
	Intervals bool
	// Limit is how many a page has: 1 to 1,000; 0 for what the server chooses.
	Limit int
	// By is the key of a label. Histories and reports then have the figures of each value, too.
	By string
}

func (r Range) query(pairs url.Values) url.Values {
	if !r.From.IsZero() {
		pairs.Set("from", strconv.FormatInt(r.From.UnixMilli(), 10))
	}
	if !r.To.IsZero() {
		pairs.Set("to", strconv.FormatInt(r.To.UnixMilli(), 10))
	}
	if r.Step != 0 {
		pairs.Set("step", strconv.FormatInt(r.Step.Milliseconds(), 10)+"ms")
	}
	if r.Intervals {
		pairs.Set("intervals", "true")
	}
	if r.Limit != 0 {
		pairs.Set("limit", strconv.Itoa(r.Limit))
	}
	return pairs
}

// ListStages yields the active and the configured stages, sorted by id. The limit is how many a page has; 0 for the server's.
func (c *Client) ListStages(ctx context.Context, limit int) iter.Seq2[Stage, error] {
	return pages(c, ctx, "/v1/stages", Range{Limit: limit}.query(url.Values{}),
		func(page StagesResponse) ([]Stage, *string) { return page.Stages, page.Cursor })
}

// ListStageViewers yields who watches a stage now. A page is sorted by id, the whole is not.
func (c *Client) ListStageViewers(ctx context.Context, stage string, limit int) iter.Seq2[OnlineViewer, error] {
	return pages(c, ctx, "/v1/stage/viewers", Range{Limit: limit}.query(url.Values{"stage": {stage}}),
		func(page StageViewersResponse) ([]OnlineViewer, *string) { return page.Viewers, page.Cursor })
}

// ListStageWatch yields who watched a stage and how long, sorted by viewer.
func (c *Client) ListStageWatch(ctx context.Context, stage string, times Range) iter.Seq2[ViewerWatch, error] {
	return pages(c, ctx, "/v1/stage/watch", times.query(url.Values{"stage": {stage}}),
		func(page StageWatchResponse) ([]ViewerWatch, *string) { return page.Watch, page.Cursor })
}

// ListViewerWatch yields what a viewer watched and how long, sorted by stage.
func (c *Client) ListViewerWatch(ctx context.Context, viewer string, times Range) iter.Seq2[StageWatch, error] {
	return pages(c, ctx, "/v1/viewer/watch", times.query(url.Values{"viewer": {viewer}}),
		func(page ViewerWatchResponse) ([]StageWatch, *string) { return page.Watch, page.Cursor })
}

// ListWatch yields how much each stage was watched; with a Step also how many watched on average, step by step.
func (c *Client) ListWatch(ctx context.Context, times Range) iter.Seq2[StageWatchTotal, error] {
	return pages(c, ctx, "/v1/watch", times.query(url.Values{}),
		func(page WatchTotalsResponse) ([]StageWatchTotal, *string) { return page.Watch, page.Cursor })
}

// ListStageSnapshots yields the counts of a stage that were saved, oldest first.
func (c *Client) ListStageSnapshots(ctx context.Context, stage string, times Range) iter.Seq2[Snapshot, error] {
	return func(yield func(Snapshot, error) bool) {
		query := times.query(url.Values{"stage": {stage}})
		for {
			page, err := answer[StageSnapshotsResponse](c, ctx, call{method: "GET", path: "/v1/stage/snapshots", query: query})
			if err != nil {
				yield(Snapshot{}, err)
				return
			}
			for _, each := range page.Snapshots {
				if !yield(each, nil) {
					return
				}
			}
			if page.NextFrom == nil {
				return
			}
			query.Set("from", strconv.FormatInt(*page.NextFrom, 10))
		}
	}
}

// StageConfiguration is what an operator says about a stage.
type StageConfiguration struct {
	Name     string            `json:"name,omitempty"`
	Customer string            `json:"customer,omitempty"`
	Tags     map[string]string `json:"tags,omitempty"`
	// PublicCount is the count that players see: "exact", "rounded" or "hidden"; if empty, as the setting public_count says.
	PublicCount string `json:"publicCount,omitempty"`
}

// CreateStage configures a stage. A call whose answer was lost is not repeated, since it may have been carried out.
func (c *Client) CreateStage(ctx context.Context, stage string, configuration StageConfiguration) (StageChangeResponse, error) {
	body := struct {
		Stage string `json:"stage"`
		StageConfiguration
	}{stage, configuration}
	return answer[StageChangeResponse](c, ctx, call{method: "POST", path: "/v1/stages", json: body, isOnce: true})
}

// ChangeStage changes "name", "customer", "tags" or "publicCount". What is missing stays; nil removes it, or a tag.
func (c *Client) ChangeStage(ctx context.Context, stage string, changes map[string]any) (StageChangeResponse, error) {
	query := url.Values{"stage": {stage}}
	return answer[StageChangeResponse](c, ctx, call{method: "PATCH", path: "/v1/stage", query: query, json: changes})
}

// DeleteStage deletes a stage's configuration, never its history.
func (c *Client) DeleteStage(ctx context.Context, stage string) (StageDeletionResponse, error) {
	query := url.Values{"stage": {stage}}
	return answer[StageDeletionResponse](c, ctx, call{method: "DELETE", path: "/v1/stage", query: query, isOnce: true})
}

// ShowCost returns what this node's own calls have cost.
func (c *Client) ShowCost(ctx context.Context) (CostResponse, error) {
	return answer[CostResponse](c, ctx, call{method: "GET", path: "/v1/cost"})
}

// SaveSnapshots saves every active stage's count now.
func (c *Client) SaveSnapshots(ctx context.Context) (SaveSnapshotsResponse, error) {
	return answer[SaveSnapshotsResponse](c, ctx, call{method: "POST", path: "/v1/admin/snapshot"})
}

// RestoreCounts lets the last snapshot's counts stand in for one ttl.
func (c *Client) RestoreCounts(ctx context.Context) (RestoreResponse, error) {
	return answer[RestoreResponse](c, ctx, call{method: "POST", path: "/v1/admin/restore"})
}

// call is one request, and what may be done with it.
type call struct {
	method, path string
	query        url.Values
	json         any
	lines        []byte
	token        string
	// isOnce says that it is not repeated where it may have been carried out.
	isOnce bool
}

func pages[P, T any](c *Client, ctx context.Context, path string, query url.Values, split func(P) ([]T, *string)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		query := url.Values(http.Header(query).Clone())
		for {
			page, err := answer[P](c, ctx, call{method: "GET", path: path, query: query})
			var items []T
			var cursor *string
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			items, cursor = split(page)
			for _, each := range items {
				if !yield(each, nil) {
					return
				}
			}
			if cursor == nil {
				return
			}
			query.Set("cursor", *cursor)
		}
	}
}

func answer[T any](c *Client, ctx context.Context, call call) (T, error) {
	var into T
	body, err := c.send(ctx, call)
	if err != nil {
		return into, err
	}
	if err := json.Unmarshal(body, &into); err != nil {
		return into, notOurs(body)
	}
	return into, nil
}

func notOurs(body []byte) error {
	return &Error{Detail: fmt.Sprintf("this is not the answer of a housecount node: %.80q", body)}
}

// send sends a call until it is taken, refused for good, or tried for long enough, and returns the answer's body.
func (c *Client) send(ctx context.Context, call call) ([]byte, error) {
	end := time.Now().Add(c.retryFor)
	for failures := 0; ; failures++ {
		body, err := c.try(ctx, call)
		var refusal *Error
		if err == nil || ctx.Err() != nil || !errors.As(err, &refusal) || !mayRetry(call, refusal) {
			return body, err
		}
		wait := max(backOff(failures), time.Duration(float64(refusal.RetryAfter)*(1+0.25*rand.Float64())))
		if time.Now().Add(wait).After(end) {
			return nil, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

// backOff returns 1 s, doubled with each failure up to 30 s, less up to a half by chance.
func backOff(failures int) time.Duration {
	full := min(backOffMin<<min(failures, 5), backOffMax)
	return full/2 + rand.N(full/2)
}

func mayRetry(call call, refusal *Error) bool {
	if refusal.Status == 0 {
		var dial *net.OpError
		return !call.isOnce || (errors.As(refusal.Cause, &dial) && dial.Op == "dial")
	}
	if call.isOnce {
		return refusal.Status == 429 || refusal.Status == 503
	}
	return slices.Contains(retried, refusal.Status)
}

func (c *Client) try(ctx context.Context, call call) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	contentType, content := "", call.lines
	switch {
	case call.json != nil:
		text, err := json.Marshal(call.json)
		if err != nil {
			return nil, err
		}
		contentType, content = "application/json", text
	case call.lines != nil:
		contentType = "application/x-ndjson"
	}
	request, err := c.request(ctx, call, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, &Error{Detail: "no answer: " + err.Error(), Cause: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerMax))
	if err != nil {
		return nil, &Error{Detail: "no answer: " + err.Error(), Cause: err}
	}
	isRefusedBatch := call.lines != nil && response.StatusCode == 400 && bytes.Contains(body, []byte(`"rejected"`))
	if response.StatusCode/100 == 2 || isRefusedBatch {
		return body, nil
	}
	return nil, errorOf(response, body)
}

func (c *Client) request(ctx context.Context, call call, body io.Reader) (*http.Request, error) {
	address := c.url + call.path
	if len(call.query) > 0 {
		address += "?" + call.query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, call.method, address, body)
	if err != nil {
		return nil, err
	}
	if credential := cmp.Or(call.token, c.key); credential != "" {
		request.Header.Set("Authorization", "Bearer "+credential)
	}
	return request, nil
}

func errorOf(response *http.Response, body []byte) *Error {
	var problem struct {
		Code, Detail string
		Active       []ActiveStream
	}
	if json.Unmarshal(body, &problem) != nil || problem.Code == "" {
		problem.Detail = fmt.Sprintf("no housecount node answered, but something with status %d", response.StatusCode)
	}
	found := &Error{Code: problem.Code, Detail: problem.Detail, Status: response.StatusCode, Active: problem.Active}
	// Nodes send seconds, never a date.
	if seconds, err := strconv.ParseFloat(response.Header.Get("Retry-After"), 64); err == nil && seconds > 0 && seconds < 1e6 {
		found.RetryAfter = time.Duration(seconds * float64(time.Second))
	}
	return found
}
