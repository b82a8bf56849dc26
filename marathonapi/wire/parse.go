package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"stadion/core"
)

// parse reads one JSON text (http-api.md 1.13, 1.14: malformed text is a 400 whose details are the parser's words).
func parse(body []byte) (any, error) {
	body, err := text(body)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, malformed(err, int64(len(body)))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, malformed(errors.New("text after the end of the JSON value"), d.InputOffset())
	}
	return v, nil
}

// Parse reads the small bodies that are no definitions, by the same rules; errors are *core.Error. Types are a matter of
// into and of json.Unmarshal, whose error tells of them.
func Parse(body []byte, into any) error {
	body, err := text(body)
	if err != nil {
		return err
	}
	err = json.Unmarshal(body, into)
	var s *json.SyntaxError
	if errors.As(err, &s) {
		return malformed(err, s.Offset)
	}
	return err
}

// text is the JSON text of a body. Bytes that are no UTF-8 would silently become other characters of a command or label.
func text(body []byte) ([]byte, error) {
	body = bytes.TrimPrefix(body, []byte("\ufeff")) // what editors of some systems put before UTF-8
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, &core.Error{Kind: core.BadRequest, Message: msgNoBody,
			DetailText: "No content to map due to end-of-input\n at [Source: (String)\"\"; line: 1, column: 0]"}
	}
	if !utf8.Valid(body) {
		good := 0
		for r, n := utf8.DecodeRune(body); r != utf8.RuneError || n != 1; r, n = utf8.DecodeRune(body[good:]) {
			good += n
		}
		return nil, malformed(errors.New("invalid UTF-8"), int64(good))
	}
	return body, nil
}

func malformed(err error, offset int64) error {
	var s *json.SyntaxError
	if errors.As(err, &s) {
		offset = s.Offset
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || s != nil && s.Error() == "unexpected end of JSON input" {
		err = errors.New("unexpected end-of-input")
	}
	return &core.Error{Kind: core.BadRequest, Message: msgInvalidJSON, DetailText: fmt.Sprintf("%v at offset %d", err, offset)}
}
