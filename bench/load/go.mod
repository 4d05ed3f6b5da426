module tallygate.dev/bench/load

go 1.24
