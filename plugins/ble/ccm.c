/* SPDX-License-Identifier: Apache-2.0 */
/* AES-128-CCM, RFC 3610, by OpenSSL: what a device sent with a key both know. */
#include "decode_private.h"
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#define TAG_SIZE 4

static int decrypt_with(EVP_CIPHER_CTX *context, const struct ccm *ccm, const uint8_t *data, size_t size,
			uint8_t *plain)
{
	int n;

	if (EVP_DecryptInit_ex(context, EVP_aes_128_ccm(), NULL, NULL, NULL) != 1 ||
	    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, (int)ccm->n_nonce, NULL) != 1 ||
	    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, (void *)(uintptr_t)ccm->tag) != 1 ||
	    EVP_DecryptInit_ex(context, NULL, NULL, ccm->key->bytes, ccm->nonce) != 1)
		return -EIO;
	/* CCM wants the length before the data that is only authenticated. */
	if (ccm->n_extra > 0 && (EVP_DecryptUpdate(context, NULL, &n, NULL, (int)size) != 1 ||
				 EVP_DecryptUpdate(context, NULL, &n, ccm->extra, (int)ccm->n_extra) != 1))
		return -EIO;
	return EVP_DecryptUpdate(context, plain, &n, data, (int)size) == 1 ? 0 : -EKEYREJECTED;
}

int ccm_decrypt(const struct ccm *ccm, const uint8_t *data, size_t size, uint8_t *plain)
{
	EVP_CIPHER_CTX *context;
	int r;

	if (ccm->key->size != KEY_SIZE)
		return -EKEYREJECTED;
	context = EVP_CIPHER_CTX_new();
	r = context ? decrypt_with(context, ccm, data, size, plain) : -EIO;
	EVP_CIPHER_CTX_free(context);
	return r;
}

/* RFC 3610, 2.3: what is left without the tag is counter mode, of blocks from 1, with two bytes for their number. */
int ccm_decrypt_unchecked(const uint8_t key[KEY_SIZE], const uint8_t nonce[13], const uint8_t *data, size_t size,
			  uint8_t *plain)
{
	uint8_t block[16] = {[0] = 1, [15] = 1};
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	bool good;
	int n;

	memcpy(block + 1, nonce, 13);
	good = context && EVP_DecryptInit_ex(context, EVP_aes_128_ctr(), NULL, key, block) == 1 &&
	       EVP_DecryptUpdate(context, plain, &n, data, (int)size) == 1;
	EVP_CIPHER_CTX_free(context);
	return good ? 0 : -EIO;
}
