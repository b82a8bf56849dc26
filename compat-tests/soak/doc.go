// Package soak keeps servers busy for as long as it is told and looks whether anything grows: deployments, scaling, kills,
// restarts, agents that are lost and return, leaders that hand over.
//
//	make soak-churn                       # one hour, 1,000 apps; DURATION=20m, APPS=200
//
// Every few seconds a sample is taken: of each server's process the resident memory, goroutines and open files, of etcd its
// size, the part in use and the keys. At the end they stand in a report (SVG and text), with the medians of the thirds of the run,
// for what belongs to a leader of each term, and a run of ten minutes or more fails where the last is clearly above the
// middle. As part of the tests it runs for some seconds, to show that it works.
package soak
