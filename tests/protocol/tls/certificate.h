/* certificate — a self-signed certificate for "localhost", made by the test that needs one, and a
 * blocking client context that trusts it. */
#ifndef TOKENLOG_TESTS_PROTOCOL_TLS_CERTIFICATE_H
#define TOKENLOG_TESTS_PROTOCOL_TLS_CERTIFICATE_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CERTIFICATE_PATH_BYTES = 64, CERTIFICATE_DAY_S = 86400 };

struct certificate {
    char folder[CERTIFICATE_PATH_BYTES];
    char certificate_path[CERTIFICATE_PATH_BYTES];
    char key_path[CERTIFICATE_PATH_BYTES];
};

static inline X509 *certificate_sign(EVP_PKEY *key)
{
    X509 *x509 = X509_new();
    X509V3_CTX context;
    X509_NAME *name = X509_get_subject_name(x509);
    (void)X509_set_version(x509, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(x509), -CERTIFICATE_DAY_S);
    (void)X509_gmtime_adj(X509_getm_notAfter(x509), CERTIFICATE_DAY_S);
    (void)X509_NAME_add_entry_by_txt(
        name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    (void)X509_set_issuer_name(x509, name);
    (void)X509_set_pubkey(x509, key);
    X509V3_set_ctx(&context, x509, x509, NULL, NULL, 0);
    X509_EXTENSION *names =
        X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, "DNS:localhost");
    (void)X509_add_ext(x509, names, -1);
    X509_EXTENSION_free(names);
    (void)X509_sign(x509, key, EVP_sha256());
    return x509;
}

/* certificate_make — two PEM files in a folder of their own; false: could not. */
static inline bool certificate_make(struct certificate *out)
{
    (void)snprintf(out->folder, sizeof out->folder, "/tmp/certificate_XXXXXX");
    if (!mkdtemp(out->folder))
        return false;
    (void)snprintf(
        out->certificate_path, sizeof out->certificate_path, "%.40s/cert.pem", out->folder);
    (void)snprintf(out->key_path, sizeof out->key_path, "%.40s/key.pem", out->folder);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x509 = certificate_sign(key);
    FILE *certificate_file = fopen(out->certificate_path, "we");
    FILE *key_file = fopen(out->key_path, "we");
    bool is_written = certificate_file && key_file && PEM_write_X509(certificate_file, x509) &&
                      PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL);
    if (certificate_file)
        (void)fclose(certificate_file);
    if (key_file)
        (void)fclose(key_file);
    X509_free(x509);
    EVP_PKEY_free(key);
    return is_written;
}

static inline void certificate_remove(const struct certificate *certificate)
{
    (void)unlink(certificate->certificate_path);
    (void)unlink(certificate->key_path);
    (void)rmdir(certificate->folder);
}

static inline SSL_CTX *certificate_client(const struct certificate *certificate)
{
    SSL_CTX *client = SSL_CTX_new(TLS_client_method());
    (void)SSL_CTX_load_verify_locations(client, certificate->certificate_path, NULL);
    SSL_CTX_set_verify(client, SSL_VERIFY_PEER, NULL);
    return client;
}

#endif
