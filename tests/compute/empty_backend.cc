// A shared object that is named like a backend and is none.
