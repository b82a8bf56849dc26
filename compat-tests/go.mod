module stadion/compat-tests

go 1.26

require github.com/mesos/mesos-go v0.0.11 // indirect
