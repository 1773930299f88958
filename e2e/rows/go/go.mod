module rows

go 1.24
