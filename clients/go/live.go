package housecount

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	// silenceMax is how long a stream may be silent: it has a comment every 15 s.
	silenceMax = 45 * time.Second
	// lineMax is how many bytes a line of a stream has at most.
	lineMax = 1 << 20
)

// LiveEvent is one event of the stream of counts: one of its fields is set.
type LiveEvent struct {
	// Count is a stage's count.
	Count *LiveCount
	// Totals are all stages together.
	Totals *StatsResponse
	// Labels are the viewers by label, with LiveOptions.By.
	Labels *LiveLabels
	// IsReset means that the node does not know what was missed: drop all counts of this stream, they are sent again.
	IsReset bool
}

// LiveCount is a stage's count, from the stream of counts.
type LiveCount struct {
	Stage string `json:"stage"`
	// Viewers is nil where the stage hides its count from players.
	Viewers *int64 `json:"viewers"`
	// Sessions is nil where Viewers is.
	Sessions *int64 `json:"sessions"`
	// AsOf is when it was so: Unix ms on the log's clock.
	AsOf int64 `json:"asOf"`
	// Complete says whether every viewer is counted for sure. If not, the count may be low.
	Complete bool `json:"complete"`
	// Recovering says whether it is bridged from what was known before a loss.
	Recovering bool `json:"recovering"`
}

// LiveLabels are a stage's viewers by label, from the stream of counts.
type LiveLabels struct {
	// Stage is empty for all stages together.
	Stage string      `json:"stage"`
	By    LabelCounts `json:"by"`
	// AsOf is when it was so: Unix ms on the log's clock.
	AsOf int64 `json:"asOf"`
	// Complete says whether every viewer is counted for sure. If not, the count may be low.
	Complete bool `json:"complete"`
	// Recovering says whether earlier counts stand in.
	Recovering bool `json:"recovering"`
}

// LiveOptions say what a stream tells.
type LiveOptions struct {
	// Stages are at most 100; none is all.
	Stages []string
	// Totals asks for all stages together too.
	Totals bool
	// By is the key of a label. The stream then has the viewers of each stage by label, or with Totals of all stages together.
	By string
	// Token is a viewer's, where the server asks for one.
	Token string
}

// StreamCounts yields live counts: at once, and when they change, at most once a second each. It connects again by itself, and ends
// with an error when the context ends, when the server refuses, or when the token or key is no longer good.
func (c *Client) StreamCounts(ctx context.Context, options LiveOptions) iter.Seq2[LiveEvent, error] {
	return func(yield func(LiveEvent, error) bool) {
		query := url.Values{"stage": options.Stages}
		if options.Totals {
			query.Set("totals", "true")
		}
		if options.By != "" {
			query.Set("by", options.By)
		}
		lastID, failures, end := "", 0, time.Now().Add(c.retryFor)
		for {
			wantsMore := true
			err := c.stream(ctx, call{method: "GET", path: "/v1/live", query: query, token: options.Token}, &lastID, func(event LiveEvent) bool {
				failures, end = 0, time.Now().Add(c.retryFor)
				wantsMore = yield(event, nil)
				return wantsMore
			})
			if !wantsMore {
				return
			}
			if ctx.Err() != nil {
				yield(LiveEvent{}, ctx.Err())
				return
			}
			var refusal *Error
			isFinal := errors.As(err, &refusal) && (refusal.Code != "" && refusal.Status == 0 || refusal.Status != 0 && !slices.Contains(retried, refusal.Status))
			wait := backOff(failures)
			if refusal != nil {
				wait = max(wait, refusal.RetryAfter)
			}
			failures++
			if isFinal || time.Now().Add(wait).After(end) {
				yield(LiveEvent{}, err)
				return
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
		}
	}
}

// stream reads one connection until it ends, and returns why.
func (c *Client) stream(ctx context.Context, call call, lastID *string, emit func(LiveEvent) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watchdog := time.AfterFunc(c.timeout, cancel)
	defer watchdog.Stop()
	request, err := c.request(ctx, call, nil)
	if err != nil {
		return err
	}
	if *lastID != "" {
		request.Header.Set("Last-Event-ID", *lastID)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return &Error{Detail: "no answer: " + err.Error(), Cause: err}
	}
	defer response.Body.Close()
	if response.StatusCode != 200 {
		body, _ := io.ReadAll(io.LimitReader(response.Body, lineMax))
		return errorOf(response, body)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, lineMax)
	name, data := "", []byte{}
	for lines.Scan() {
		watchdog.Reset(silenceMax)
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "data":
			data = append(data, value...)
		case "id":
			*lastID = value
		}
		if lines.Text() != "" {
			continue
		}
		event, err := liveEvent(name, data)
		name, data = "", data[:0]
		if err != nil {
			return err
		}
		if event != (LiveEvent{}) && !emit(event) {
			return nil
		}
	}
	return &Error{Detail: "the stream was interrupted", Cause: lines.Err()}
}

func liveEvent(name string, data []byte) (LiveEvent, error) {
	var event LiveEvent
	var into any
	switch name {
	case "reset":
		return LiveEvent{IsReset: true}, nil
	case "count":
		event.Count = &LiveCount{}
		into = event.Count
	case "totals":
		event.Totals = &StatsResponse{}
		into = event.Totals
	case "labels":
		event.Labels = &LiveLabels{}
		into = event.Labels
	case "end":
		var end struct{ Code, Detail string }
		if json.Unmarshal(data, &end) != nil {
			return event, notOurs(data)
		}
		return event, &Error{Code: end.Code, Detail: end.Detail}
	default:
		return event, nil
	}
	if json.NewDecoder(bytes.NewReader(data)).Decode(into) != nil {
		return LiveEvent{}, notOurs(data)
	}
	return event, nil
}
