package housecount

import (
	"context"
	"net/url"
)

// labelQuery adds the label to the query. Lists don't take it, since their answers have other rows with it.
func (r Range) labelQuery(pairs url.Values) url.Values {
	pairs = r.query(pairs)
	if r.By != "" {
		pairs.Set("by", r.By)
	}
	return pairs
}

// ShowStageHistory returns how many watched a stage at once.
func (c *Client) ShowStageHistory(ctx context.Context, stage string, times Range) (HistoryResponse, error) {
	query := times.labelQuery(url.Values{"stage": {stage}})
	return answer[HistoryResponse](c, ctx, call{method: "GET", path: "/v1/stage/history", query: query})
}

// ShowHistory returns how many watched at once, all stages together.
func (c *Client) ShowHistory(ctx context.Context, times Range) (HistoryResponse, error) {
	return answer[HistoryResponse](c, ctx, call{method: "GET", path: "/v1/history", query: times.labelQuery(url.Values{})})
}

// ShowStatsBy returns how many watch altogether, also by the values of a label such as "country".
func (c *Client) ShowStatsBy(ctx context.Context, label string) (StatsResponse, error) {
	return answer[StatsResponse](c, ctx, call{method: "GET", path: "/v1/stats", query: url.Values{"by": {label}}})
}

// ShowStageBy returns a stage's count and configuration, the count also by the values of a label.
func (c *Client) ShowStageBy(ctx context.Context, stage, label string) (StageResponse, error) {
	query := url.Values{"stage": {stage}, "by": {label}}
	return answer[StageResponse](c, ctx, call{method: "GET", path: "/v1/stage", query: query})
}

// ShowWatchByLabel returns how much was watched by each value of the label times.By, all stages together.
func (c *Client) ShowWatchByLabel(ctx context.Context, times Range) (LabelWatchResponse, error) {
	query := times.labelQuery(url.Values{"by": {""}})
	return answer[LabelWatchResponse](c, ctx, call{method: "GET", path: "/v1/watch", query: query})
}

// ShowStageWatchByLabel returns how much a stage was watched by each value of the label times.By.
func (c *Client) ShowStageWatchByLabel(ctx context.Context, stage string, times Range) (LabelWatchResponse, error) {
	query := times.labelQuery(url.Values{"stage": {stage}, "by": {""}})
	return answer[LabelWatchResponse](c, ctx, call{method: "GET", path: "/v1/stage/watch", query: query})
}

// ShowReport returns unique viewers, watch time, joins, leaves, views and more of all stages together.
func (c *Client) ShowReport(ctx context.Context, times Range) (ReportResponse, error) {
	query := times.labelQuery(url.Values{})
	return answer[ReportResponse](c, ctx, call{method: "GET", path: "/v1/report", query: query})
}

// ShowStageReport returns the same of a stage.
func (c *Client) ShowStageReport(ctx context.Context, stage string, times Range) (ReportResponse, error) {
	query := times.labelQuery(url.Values{"stage": {stage}})
	return answer[ReportResponse](c, ctx, call{method: "GET", path: "/v1/stage/report", query: query})
}
