package housecount

import (
	"fmt"
	"time"
)

// Error says why a node refused a call, or that no node answered it.
type Error struct {
	// Code is for programs, such as "stage_not_found". Empty if no housecount node answered.
	Code string
	// Detail is for people: what is wrong, and what to do.
	Detail string
	// Status is the HTTP status; 0 without an answer, or for an error in a stream.
	Status int
	// RetryAfter is the time that the node asked to wait for; 0 if it asked for none.
	RetryAfter time.Duration
	// Active are the viewer's streams, oldest first, where the code is too_many_streams.
	Active []ActiveStream
	// Cause is what kept an answer from coming, if that is so.
	Cause error
}

// Error returns the status, the code and the detail.
func (e *Error) Error() string {
	switch {
	case e.Status == 0 && e.Code == "":
		return "housecount: " + e.Detail
	case e.Status == 0:
		return fmt.Sprintf("housecount: %s: %s", e.Code, e.Detail)
	default:
		return fmt.Sprintf("housecount: %d %s: %s", e.Status, e.Code, e.Detail)
	}
}

// Unwrap returns what kept an answer from coming.
func (e *Error) Unwrap() error { return e.Cause }
