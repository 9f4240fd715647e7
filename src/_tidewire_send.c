/* Writes the same bytes to many sockets with the interpreter's lock released once. Keeps nothing and sends no rest: the
 * descriptors are the caller's, who must not let any be closed meanwhile. server/socket_writes.py does the same.
 *
 * What is used while other threads run is ours or cannot change: a copy of the descriptors, and the bytes of an object
 * that the caller holds. */
#define Py_LIMITED_API 0x030b0000 /* as ABI in hatch_build.py says */
#include <Python.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS; Python itself ignores SIGPIPE */
#endif

struct target {
    int descriptor;
    Py_ssize_t sent;
};

/* On success release the view afterwards. */
static int view_descriptors(PyObject *descriptors, Py_buffer *view) {
    if (PyObject_GetBuffer(descriptors, view, PyBUF_FORMAT) < 0) return -1;
    if (view->format && strcmp(view->format, "i") == 0) return 0;
    PyBuffer_Release(view);
    PyErr_SetString(PyExc_TypeError, "sending to many: expected descriptors as an array of C ints");
    return -1;
}

static Py_ssize_t send_once(int descriptor, const char *data, size_t size) {
    ssize_t sent;
    do {
        sent = send(descriptor, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? 0 : (Py_ssize_t)sent; /* full or broken: whoever sends the rest finds out */
}

/* Called with the lock held again. */
static PyObject *list_short(const struct target *targets, Py_ssize_t count, Py_ssize_t size) {
    PyObject *found = PyList_New(0);
    for (Py_ssize_t i = 0; found && i < count; i++) {
        if (targets[i].sent == size) continue;
        PyObject *pair = Py_BuildValue("(nn)", i, targets[i].sent);
        if (!pair || PyList_Append(found, pair) < 0) Py_CLEAR(found);
        Py_XDECREF(pair);
    }
    return found;
}

static PyObject *send_all(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *descriptors, *packet;
    Py_buffer view;
    char *data;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "OS:send_all", &descriptors, &packet)) return NULL;
    if (PyBytes_AsStringAndSize(packet, &data, &size) < 0 || view_descriptors(descriptors, &view) < 0) return NULL;
    Py_ssize_t count = view.len / view.itemsize;
    struct target *targets = PyMem_Calloc((size_t)count, sizeof *targets);
    PyObject *found = NULL;
    if (targets) {
        for (Py_ssize_t i = 0; i < count; i++) targets[i].descriptor = ((const int *)view.buf)[i];
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; i < count; i++) targets[i].sent = send_once(targets[i].descriptor, data, (size_t)size);
        Py_END_ALLOW_THREADS
        found = list_short(targets, count, size);
        PyMem_Free(targets);
    } else {
        PyErr_NoMemory();
    }
    PyBuffer_Release(&view);
    return found;
}

static PyMethodDef methods[] = {
    {"send_all", send_all, METH_VARARGS,
     "send_all(descriptors, packet, /)\n--\n\n"
     "Write a packet to non-blocking sockets, and list those that took less: index, and how many bytes."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_tidewire_send",
    .m_doc = "The same bytes to many sockets.",
    .m_size = 0,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__tidewire_send(void) { return PyModuleDef_Init(&definition); }
