package marathonapi

// members visits the members of a JSON object that was encoded here, so without spaces and with plain names; false when
// it is none. It runs with every change (S8), and the decoder takes several times as long.
func members(object []byte, visit func(name string, value []byte)) bool {
	if len(object) < 2 || object[0] != '{' || object[len(object)-1] != '}' {
		return false
	}
	for rest := object[1 : len(object)-1]; len(rest) > 0; {
		name := stringLength(rest)
		if name < 2 || name == len(rest) || rest[name] != ':' {
			return false
		}
		value := rest[name+1:]
		n := valueLength(value)
		if n == 0 {
			return false
		}
		visit(string(rest[1:name-1]), value[:n:n])
		if rest = value[n:]; len(rest) == 0 {
			break
		}
		if rest = rest[1:]; len(rest) == 0 { // behind the comma
			return false
		}
	}
	return true
}

// stringLength is the length of the JSON string that b begins with, its quotes included; 0 when it begins with none.
func stringLength(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return 0
	}
	for n := 1; n < len(b); n++ {
		switch b[n] {
		case '\\':
			n++
		case '"':
			return n + 1
		}
	}
	return 0
}

// valueLength is the length of the value that b begins with, up to the comma that follows; 0 when it has no end.
func valueLength(b []byte) int {
	depth := 0
	for n := 0; n < len(b); n++ {
		switch b[n] {
		case '"':
			long := stringLength(b[n:])
			if long == 0 {
				return 0
			}
			n += long - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 0 {
				return n
			}
		}
	}
	if depth != 0 {
		return 0
	}
	return len(b)
}
