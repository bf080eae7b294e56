SELECT {clock}
