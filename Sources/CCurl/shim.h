#include <curl/curl.h>

/* curl_easy_setopt and its like are variadic, which Swift does not import: one typed setter for
   each kind of argument. */
static inline CURLcode gs3_setopt_long(CURL *handle, CURLoption option, long value) {
    return curl_easy_setopt(handle, option, value);
}
static inline CURLcode gs3_setopt_offset(CURL *handle, CURLoption option, curl_off_t value) {
    return curl_easy_setopt(handle, option, value);
}
static inline CURLcode gs3_setopt_string(CURL *handle, CURLoption option, const char *value) {
    return curl_easy_setopt(handle, option, value);
}
static inline CURLcode gs3_setopt_pointer(CURL *handle, CURLoption option, void *value) {
    return curl_easy_setopt(handle, option, value);
}
static inline CURLcode gs3_setopt_list(CURL *handle, CURLoption option, struct curl_slist *value) {
    return curl_easy_setopt(handle, option, value);
}
typedef size_t (*gs3_data_callback)(char *data, size_t size, size_t count, void *context);
static inline CURLcode gs3_setopt_callback(CURL *handle, CURLoption option, gs3_data_callback value) {
    return curl_easy_setopt(handle, option, value);
}
typedef int (*gs3_seek_callback)(void *context, curl_off_t offset, int origin);
static inline CURLcode gs3_setopt_seek(CURL *handle, gs3_seek_callback value) {
    return curl_easy_setopt(handle, CURLOPT_SEEKFUNCTION, value);
}
static inline CURLcode gs3_getinfo_long(CURL *handle, CURLINFO info, long *value) {
    return curl_easy_getinfo(handle, info, value);
}
static inline CURLcode gs3_getinfo_pointer(CURL *handle, CURLINFO info, void *value) {
    return curl_easy_getinfo(handle, info, value);
}
static inline CURLMcode gs3_multi_setopt_long(CURLM *multi, CURLMoption option, long value) {
    return curl_multi_setopt(multi, option, value);
}
/* A macro of macros, which Swift does not import. */
static inline long gs3_global_default(void) { return CURL_GLOBAL_DEFAULT; }
