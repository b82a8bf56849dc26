package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"stadion/core"
)

// parse reads one JSON text (http-api.md 1.13, 1.14: malformed text is a 400 whose details are the parser's words).
func parse(body []byte) (any, error) {
	body = bytes.TrimPrefix(body, []byte("\ufeff")) // what editors of some systems put before UTF-8
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, &core.Error{Kind: core.BadRequest, Message: msgNoBody,
			DetailText: "No content to map due to end-of-input\n at [Source: (String)\"\"; line: 1, column: 0]"}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, malformed(err, d.InputOffset())
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, malformed(errors.New("text after the end of the JSON value"), d.InputOffset())
	}
	return v, nil
}

func malformed(err error, offset int64) error {
	var s *json.SyntaxError
	if errors.As(err, &s) {
		offset = s.Offset
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("unexpected end-of-input")
	}
	return &core.Error{Kind: core.BadRequest, Message: msgInvalidJSON, DetailText: fmt.Sprintf("%v at offset %d", err, offset)}
}
