/* The module `marks` for `dispatch.py`: `marks.at(region)` has callgrind, started with --collect-atstart=no, count the
   instructions of the calling thread while it is in the region that the environment variable REGION names. */

#include <Python.h>
#include <stdlib.h>
#include <valgrind/callgrind.h>

static long counted;
static _Thread_local int counts;

static PyObject *at(PyObject *module, PyObject *region) {
    (void)module;
    int is_inside = PyLong_AsLong(region) == counted;
    if (is_inside != counts) {
        counts = is_inside;
        CALLGRIND_TOGGLE_COLLECT;
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"at", at, METH_O, "Enters a region."}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "marks", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_marks(void) {
    counted = atol(getenv("REGION"));
    return PyModule_Create(&module);
}
