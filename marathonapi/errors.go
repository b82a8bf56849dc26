package marathonapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"stadion/core"
)

// errorBody is the body of every refusal (http-api.md 1.14). Details is a string for malformed JSON, else a list.
type errorBody struct {
	Message     string         `json:"message"`
	Details     any            `json:"details,omitempty"`
	Deployments []deploymentID `json:"deployments,omitempty"`
}

type deploymentID struct {
	ID string `json:"id"`
}

var statusOf = map[core.ErrorKind]int{
	core.Internal:     http.StatusInternalServerError,
	core.BadRequest:   http.StatusBadRequest,
	core.Invalid:      http.StatusUnprocessableEntity,
	core.NotFound:     http.StatusNotFound,
	core.Conflict:     http.StatusConflict,
	core.Locked:       http.StatusConflict,
	core.LimitReached: http.StatusForbidden,
	core.Unavailable:  http.StatusServiceUnavailable,
	core.Unauthorized: http.StatusUnauthorized,
	core.Forbidden:    http.StatusForbidden,
	core.TooLarge:     http.StatusRequestEntityTooLarge,
}

// toHTTP is the one place where errors become answers (http-api.md 1.14, 1.15).
func toHTTP(err error) (int, errorBody) {
	var e *core.Error
	var h *echo.HTTPError
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &e):
		b := errorBody{Message: e.Message}
		switch {
		case e.DetailText != "":
			b.Details = e.DetailText
		case len(e.Details) > 0:
			b.Details = e.Details
		case e.Direct:
			b.Details = []core.Detail{}
		}
		for _, id := range e.Deployments {
			b.Deployments = append(b.Deployments, deploymentID{id})
		}
		return statusOf[e.Kind], b
	case errors.As(err, &big):
		return http.StatusRequestEntityTooLarge, errorBody{Message: fmt.Sprintf("Request body is larger than %d bytes", big.Limit)}
	case errors.As(err, &h):
		return h.Code, errorBody{Message: http.StatusText(h.Code)}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, errorBody{Message: err.Error()}
	}
	return http.StatusInternalServerError, errorBody{Message: err.Error()}
}

// onError answers with an error, unless the answer has begun.
func (s *Server) onError(err error, c echo.Context) {
	if gone(err, c) {
		s.log.Debug("answer not taken", zap.String("path", c.Request().URL.Path), zap.Error(err))
		return
	}
	status, body := toHTTP(err)
	if status >= http.StatusInternalServerError && status != http.StatusServiceUnavailable {
		s.log.Error("request failed", zap.String("method", c.Request().Method), zap.String("path", c.Request().URL.Path), zap.Error(err))
	}
	if c.Response().Committed {
		return
	}
	var known *core.Error
	if errors.As(err, &known) && known.Kind == core.LimitReached {
		s.stats.to.Count("deployments.dismissed.counter", 1)
	}
	text, err := core.EncodeJSON(body)
	if err != nil {
		text = []byte(`{"message":"error without text"}`)
	}
	if status == http.StatusServiceUnavailable {
		c.Response().Header().Set("Retry-After", "1")
	}
	c.Response().Header().Set(echo.HeaderContentType, typeJSON)
	c.Response().WriteHeader(status)
	if _, err := c.Response().Write(text); err != nil {
		s.log.Debug("answer not taken", zap.Error(err))
	}
}

// gone tells an answer that the client did not take, which is no failure of ours, from one that could not be made.
func gone(err error, c echo.Context) bool {
	var g goneError
	var o *net.OpError
	return c.Response().Committed && (errors.As(err, &g) || errors.As(err, &o) || c.Request().Context().Err() != nil)
}

// notFound is a 404 that some deeper part raises: no details.
func notFound(text string) error { return &core.Error{Kind: core.NotFound, Message: text} }

// missing is a 404 of the endpoint itself: with empty details (http-api.md 1.14).
func missing(kind string, id any) error {
	return &core.Error{Kind: core.NotFound, Message: fmt.Sprintf("%s '%v' does not exist", kind, id), Direct: true}
}

func badRequest(text string) error { return &core.Error{Kind: core.BadRequest, Message: text} }

// missingText is a 404 of the endpoint with its own text.
func missingText(text string) error {
	return &core.Error{Kind: core.NotFound, Message: text, Direct: true}
}
