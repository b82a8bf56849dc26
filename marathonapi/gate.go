package marathonapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// middleware is the chain of http-api.md 1.2, outermost first.
func (s *Server) middleware() []echo.MiddlewareFunc {
	chain := []echo.MiddlewareFunc{s.stats.middleware}
	if s.cfg.MaxConcurrent > 0 {
		chain = append(chain, s.limitConcurrency)
	}
	chain = append(chain, s.headers, s.limitBody)
	if !s.cfg.NoCompression {
		chain = append(chain, middleware.GzipWithConfig(middleware.GzipConfig{
			Level: 1, MinLength: compressionMinLength,
			Skipper: func(c echo.Context) bool { return strings.HasPrefix(c.Request().URL.Path, eventsPath) },
		}))
	}
	return chain
}

// limitConcurrency bounds the requests at work. Streams of events do not count, as they stay: they have a bound of
// their own.
func (s *Server) limitConcurrency(next echo.HandlerFunc) echo.HandlerFunc {
	limit := int64(s.cfg.MaxConcurrent)
	return func(c echo.Context) error {
		if c.Request().URL.Path == eventsPath {
			return next(c)
		}
		defer s.inflight.Add(-1)
		if s.inflight.Add(1) > limit {
			return c.String(http.StatusServiceUnavailable, fmt.Sprintf("Too many concurrent requests! Allowed: %d.", limit))
		}
		return next(c)
	}
}

// headers sets what every answer carries (http-api.md 1.3, 1.4).
func (s *Server) headers(next echo.HandlerFunc) echo.HandlerFunc {
	leader := s.cfg.Scheme + "://" + s.cfg.HostPort
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Cache-Control", "no-cache, no-store, must-revalidate")
		h.Set("Pragma", "no-cache")
		h.Set("Expires", "0")
		h.Set("X-Marathon-Leader", leader)
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-XSS-Protection", "1; mode=block")
		s.cors(c.Request(), h)
		return next(c)
	}
}

// cors answers with the origin of the request if it is configured (http-api.md 18).
func (s *Server) cors(r *http.Request, h http.Header) {
	if len(s.cfg.AllowOrigins) == 0 {
		return
	}
	origin := r.Header.Get("Origin")
	h.Add("Vary", "Origin")
	switch {
	case slices.Contains(s.cfg.AllowOrigins, "*"):
		h.Set("Access-Control-Allow-Origin", "*")
	case origin != "" && slices.Contains(s.cfg.AllowOrigins, origin):
		h.Set("Access-Control-Allow-Origin", origin)
	default:
		return
	}
	if asked := r.Header.Values("Access-Control-Request-Headers"); len(asked) > 0 {
		h.Set("Access-Control-Allow-Headers", strings.Join(asked, ", "))
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
	h.Set("Access-Control-Max-Age", "86400")
}

// limitBody makes reading beyond the limit an error that becomes a 413. Compressed bodies are refused, as nobody sends
// them to Marathon and what they unfold to has no bound (F25).
func (s *Server) limitBody(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
			return echo.NewHTTPError(http.StatusUnsupportedMediaType)
		}
		if r.ContentLength > s.cfg.MaxBody {
			return &http.MaxBytesError{Limit: s.cfg.MaxBody}
		}
		r.Body = http.MaxBytesReader(c.Response(), r.Body, s.cfg.MaxBody)
		return next(c)
	}
}
