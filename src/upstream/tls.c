/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/tls.h"
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define OWN_ENDS_SOON_DAYS 30

/* Enough of a file's state to see that somebody replaced it. */
struct file_mark {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed;
};

struct tls {
	const struct uplink_tls_conf *conf;
	const char *host;
	char without_zone[INET6_ADDRSTRLEN]; /* of fe80::1%eth0, which no certificate can name */
	bool host_is_address;
	SSL_CTX *context;
	struct file_mark marks[4];

	/* Of the last handshake. */
	int verify_error;
	bool asked;	/* the broker wants a certificate of ours */
	char names[96]; /* whom the certificate is for; "": it names nobody */
	char common_name[64];
	char issuer[96];
	char not_before[32], not_after[32];
	int alert; /* the broker's, 0: none */
};

struct tls *tls_new(const struct uplink_tls_conf *conf, const char *host)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	if (!tls)
		return NULL;
	tls->conf = conf;
	tls->host = host;
	size_t size = strcspn(host, "%");
	if (size < sizeof(tls->without_zone) && host[size]) {
		memcpy(tls->without_zone, host, size);
		tls->host = tls->without_zone;
	}
	unsigned char address[16];
	tls->host_is_address =
		inet_pton(AF_INET, tls->host, address) == 1 || inet_pton(AF_INET6, tls->host, address) == 1;
	return tls;
}

struct tls *tls_free(struct tls *tls)
{
	if (!tls)
		return NULL;
	SSL_CTX_free(tls->context);
	free(tls);
	return NULL;
}

SSL *tls_session(struct tls *tls)
{
	SSL *ssl = SSL_new(tls->context);
	if (!ssl)
		return NULL;
	tls->verify_error = 0;
	tls->alert = 0;
	tls->asked = false;
	SSL_set_connect_state(ssl);
	/* RFC 6066, section 3: an address is no name of a server. */
	if (!tls->host_is_address && SSL_set_tlsext_host_name(ssl, tls->host) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	return ssl;
}

const char *tls_version_text(const SSL *ssl)
{
	return SSL_version(ssl) == TLS1_3_VERSION ? "TLS 1.3" : "TLS 1.2";
}

/* ---- during the handshake ---- */

static void add_name(struct tls *tls, const char *kind, const char *name, int size)
{
	size_t used = strlen(tls->names);
	int n = snprintf(tls->names + used, sizeof(tls->names) - used, "%s%s%.*s", used ? ", " : "", kind, size, name);
	if (n < 0 || (size_t)n >= sizeof(tls->names) - used)
		tls->names[used] = '\0';
}

/* Where an address is wanted, a name that looks like it does not do: the words must show the difference. */
static void note_names(struct tls *tls, X509 *certificate)
{
	tls->names[0] = '\0';
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		char address[INET6_ADDRSTRLEN];
		if (name->type == GEN_DNS) {
			add_name(tls, tls->host_is_address ? "the host name " : "",
				 (const char *)ASN1_STRING_get0_data(name->d.dNSName),
				 ASN1_STRING_length(name->d.dNSName));
		} else if (name->type == GEN_IPADD) {
			int family = ASN1_STRING_length(name->d.iPAddress) == 4 ? AF_INET : AF_INET6;
			if ((family == AF_INET || ASN1_STRING_length(name->d.iPAddress) == 16) &&
			    inet_ntop(family, ASN1_STRING_get0_data(name->d.iPAddress), address, sizeof(address)))
				add_name(tls, "the address ", address, (int)strlen(address));
		}
	}
	GENERAL_NAMES_free(names);
	tls->common_name[0] = '\0';
	X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, tls->common_name,
				  (int)sizeof(tls->common_name));
}

static void note_date(char ret[32], const ASN1_TIME *when)
{
	struct tm tm;
	ret[0] = '\0';
	if (ASN1_TIME_to_tm(when, &tm))
		strftime(ret, 32, "%Y-%m-%d %H:%M UTC", &tm);
}

static int verify_result(int ok, X509_STORE_CTX *store)
{
	if (ok)
		return 1;
	const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	if (tls->verify_error)
		return 0;
	tls->verify_error = X509_STORE_CTX_get_error(store);
	X509 *certificate = X509_STORE_CTX_get_current_cert(store);
	if (!certificate)
		return 0;
	note_names(tls, certificate);
	note_date(tls->not_before, X509_get0_notBefore(certificate));
	note_date(tls->not_after, X509_get0_notAfter(certificate));
	tls->issuer[0] = '\0';
	if (X509_NAME_get_text_by_NID(X509_get_issuer_name(certificate), NID_commonName, tls->issuer,
				      (int)sizeof(tls->issuer)) < 0)
		X509_NAME_oneline(X509_get_issuer_name(certificate), tls->issuer, (int)sizeof(tls->issuer));
	return 0;
}

static void note_alert(const SSL *ssl, int where, int value)
{
	struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	if (where == SSL_CB_READ_ALERT && (value >> 8) == SSL3_AL_FATAL)
		tls->alert = value & 0xff;
}

/* Called only where we have none to give. */
static int certificate_wanted(SSL *ssl, X509 **ret_certificate, EVP_PKEY **ret_key)
{
	struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	(void)ret_certificate, (void)ret_key;
	tls->asked = true;
	return 0;
}

static int no_passphrase(char *buffer, int size, int writing, void *userdata)
{
	(void)buffer, (void)size, (void)writing, (void)userdata;
	return 0; /* never ask on a terminal */
}

/* ---- before it ---- */

static int mark_file(const char *path, struct file_mark *ret)
{
	struct stat st;
	*ret = (struct file_mark){0};
	if (!path)
		return 0;
	if (stat(path, &st) < 0)
		return -errno;
	*ret = (struct file_mark){.dev = st.st_dev, .ino = st.st_ino, .size = st.st_size, .changed = st.st_mtim};
	return 0;
}

static const char *openssl_error_text(void)
{
	unsigned long error = ERR_peek_last_error();
	const char *word = error ? ERR_reason_error_string(error) : NULL;
	return word ? word : "unknown error";
}

static int load_authorities(struct tls *tls, SSL_CTX *context, struct reason *reason)
{
	const char *ca = tls->conf->ca_file;
	if (!ca) {
		if (SSL_CTX_set_default_verify_paths(context) == 1)
			return 0;
		reason_set(reason, "the system's certificate authorities cannot be loaded: %s", openssl_error_text());
		return -EBADMSG;
	}
	if (SSL_CTX_load_verify_file(context, ca) == 1)
		return 0;
	reason_set(reason, "ca_file %s contains no certificate authorities: %s", ca, openssl_error_text());
	return -EBADMSG;
}

static int load_own(const struct tls *tls, SSL_CTX *context, struct reason *reason)
{
	const char *cert = tls->conf->cert_file, *key = tls->conf->key_file;
	if (!cert) {
		SSL_CTX_set_client_cert_cb(context, certificate_wanted);
		return 0;
	}
	SSL_CTX_set_default_passwd_cb(context, no_passphrase);
	if (SSL_CTX_use_certificate_chain_file(context, cert) != 1) {
		reason_set(reason, "cert_file %s contains no certificate: %s", cert, openssl_error_text());
		return -EBADMSG;
	}
	if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
		if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH)
			reason_set(reason, "the key in %s does not belong to the certificate in %s", key, cert);
		else
			reason_set(reason, "key_file %s contains no private key without a passphrase: %s", key,
				   openssl_error_text());
		return -EBADMSG;
	}
	return 0;
}

static int set_name(const struct tls *tls, SSL_CTX *context)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(context);
	/* RFC 9525, section 2: a common name is no longer a host's name. */
	X509_VERIFY_PARAM_set_hostflags(param,
					X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	return tls->host_is_address ? X509_VERIFY_PARAM_set1_ip_asc(param, tls->host)
				    : X509_VERIFY_PARAM_set1_host(param, tls->host, 0);
}

/* The list for ALPN: each name after its length. */
static int set_alpn(const struct tls *tls, SSL_CTX *context)
{
	const char *name = tls->conf->alpn;
	if (!name)
		return 1;
	size_t size = strlen(name);
	unsigned char list[256];
	if (size == 0 || size > 255)
		return 0;
	list[0] = (unsigned char)size;
	memcpy(list + 1, name, size);
	return SSL_CTX_set_alpn_protos(context, list, (unsigned)size + 1) == 0;
}

static int build_context(struct tls *tls, SSL_CTX **ret, struct reason *reason)
{
	ERR_clear_error();
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	if (!context) {
		reason_set(reason, "TLS cannot be set up: %s", openssl_error_text());
		return -ENOMEM;
	}
	SSL_CTX_set_app_data(context, tls);
	SSL_CTX_set_info_callback(context, note_alert);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, verify_result);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					  SSL_MODE_RELEASE_BUFFERS);
	/* MQTT says itself where a packet ends: a broker that closes without close_notify cuts nothing off
	   unnoticed. */
	SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
	/* One system call for each record instead of two. */
	SSL_CTX_set_read_ahead(context, 1);
	int r = load_authorities(tls, context, reason);
	if (r >= 0)
		r = load_own(tls, context, reason);
	if (r >= 0 && (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 || set_name(tls, context) != 1 ||
		       set_alpn(tls, context) != 1)) {
		reason_set(reason, "TLS cannot be set up: %s", openssl_error_text());
		r = -EINVAL;
	}
	ERR_clear_error();
	if (r < 0) {
		SSL_CTX_free(context);
		return r;
	}
	*ret = context;
	return 0;
}

/* OpenSSL looks into the system's folder of authorities at each handshake, but reads their file only once; Alpine and
   Yocto have no more than the file. NULL: a ca_file is used instead. */
static const char *system_file(const struct tls *tls)
{
	if (tls->conf->ca_file)
		return NULL;
	const char *named = getenv(X509_get_default_cert_file_env());
	return named ? named : X509_get_default_cert_file();
}

int tls_prepare(struct tls *tls, struct reason *ret_reason)
{
	const char *const paths[] = {tls->conf->ca_file, tls->conf->cert_file, tls->conf->key_file, system_file(tls)};
	static const char *const keys[] = {"ca_file", "cert_file", "key_file", NULL};
	struct file_mark marks[ELEMENTS(paths)];
	memset(marks, 0, sizeof(marks));
	for (size_t i = 0; i < ELEMENTS(paths); i++) {
		int r = mark_file(paths[i], &marks[i]);
		if (r < 0 && keys[i]) {
			reason_set(ret_reason, "%s %s cannot be read: %s", keys[i], paths[i], strerror(-r));
			return r;
		}
	}
	bool changed = false;
	for (size_t i = 0; i < ELEMENTS(paths); i++) {
		const struct file_mark *old = &tls->marks[i], *new = &marks[i];
		changed |= old->dev != new->dev || old->ino != new->ino || old->size != new->size ||
			   old->changed.tv_sec != new->changed.tv_sec || old->changed.tv_nsec != new->changed.tv_nsec;
	}
	if (tls->context && !changed)
		return 0;
	SSL_CTX *context;
	int r = build_context(tls, &context, ret_reason);
	if (r < 0)
		return r;
	SSL_CTX_free(tls->context);
	tls->context = context;
	memcpy(tls->marks, marks, sizeof(marks));
	return 0;
}

bool tls_own_ends_soon(const struct tls *tls, struct reason *ret_reason)
{
	const X509 *own = tls->context ? SSL_CTX_get0_certificate(tls->context) : NULL;
	int days, seconds;
	if (!own || !ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(own)) || days >= OWN_ENDS_SOON_DAYS)
		return false;
	char date[32];
	note_date(date, X509_get0_notAfter(own));
	reason_set(ret_reason, "the client certificate %s %s on %s", tls->conf->cert_file,
		   days < 0 || seconds < 0 ? "ended" : "ends", date);
	return true;
}

/* ---- after it ---- */

static void explain_verification(const struct tls *tls, struct reason *reason)
{
	char now[32];
	time_t seconds = time(NULL);
	struct tm tm;
	strftime(now, sizeof(now), "%Y-%m-%d %H:%M UTC", gmtime_r(&seconds, &tm));
	switch (tls->verify_error) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		reason_set(reason, "the broker's certificate expired on %s (this machine's clock says %s)",
			   tls->not_after, now);
		return;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		reason_set(reason, "the broker's certificate is valid from %s on, and this machine's clock says %s",
			   tls->not_before, now);
		return;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		if (tls->names[0])
			reason_set(reason, "the broker's certificate is for %s, not for %s%s", tls->names,
				   tls->host_is_address ? "the address " : "", tls->host);
		else
			reason_set(
				reason,
				"the broker's certificate names no host: it has the common name \"%s\" only, and needs %s as subjectAltName",
				tls->common_name, tls->host);
		return;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		reason_set(reason, "the broker's certificate was issued by \"%s\", which is not in %s", tls->issuer,
			   tls->conf->ca_file ? tls->conf->ca_file
					      : "the system's list of authorities (set tls.ca_file for others)");
		return;
	default:
		reason_set(reason, "the broker's certificate is not accepted: %s",
			   X509_verify_cert_error_string(tls->verify_error));
	}
}

bool tls_explain(const struct tls *tls, struct reason *ret_reason)
{
	if (tls->verify_error) {
		explain_verification(tls, ret_reason);
		return true;
	}
	if (tls->asked) {
		reason_set(
			ret_reason,
			tls->alert
				? "this broker requires a client certificate: set tls.cert_file and tls.key_file"
				: "the broker asked for a client certificate and then hung up: set tls.cert_file and tls.key_file");
		return true;
	}
	if (!tls->alert)
		return false;
	const char *word = SSL_alert_desc_string_long(tls->alert);
	switch (tls->alert) {
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_EXPIRED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_UNKNOWN_CA:
	case TLS13_AD_CERTIFICATE_REQUIRED:
		reason_set(ret_reason, "the broker does not accept the client certificate: %s", word);
		break;
	default:
		reason_set(ret_reason, "the broker ended the TLS handshake: %s", word);
	}
	return true;
}
