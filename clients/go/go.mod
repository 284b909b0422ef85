module github.com/housecount/housecount/clients/go

go 1.23
