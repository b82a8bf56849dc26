// Command mutation measures the tests: it makes one mistake after the other in the sources and asks the tests that
// should notice.
//
//	table ─► old text → new text, through go's -overlay: no file of the tree is touched
//	      ─► does it still build?           no: the mutation is void, the table is to be mended
//	      ─► go test of the packages named  fails: caught      passes: survived, and a test is missing
//
// Each entry is a mistake that somebody could make, with the rule that it breaks (reliability I, F, R; behaviour D).
// The tests named are those that every change must pass: no seed, time or test more than there. It takes minutes and
// is not part of them (make mutation); that every entry still fits the sources is (TestTableFits).
//
//	go run ./mutation                    all, with the share caught; below the bar of 95 % it exits with 1
//	go run ./mutation -run 'fence|seq'   those whose name matches
package main
