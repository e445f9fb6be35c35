/* SPDX-License-Identifier: Apache-2.0 */
#include "match.h"
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

int irk_hash(const uint8_t irk[16], uint32_t prand, uint32_t *ret_hash)
{
	uint8_t in[16] = {[13] = (uint8_t)(prand >> 16), [14] = (uint8_t)(prand >> 8), [15] = (uint8_t)prand};
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	uint8_t out[32];
	int n = 0;
	bool good = context && EVP_EncryptInit_ex(context, EVP_aes_128_ecb(), NULL, irk, NULL) == 1 &&
		    EVP_EncryptUpdate(context, out, &n, in, sizeof(in)) == 1 && n == sizeof(in);

	EVP_CIPHER_CTX_free(context);
	if (!good)
		return -EIO;
	*ret_hash = (uint32_t)(out[13] << 16 | out[14] << 8 | out[15]);
	return 0;
}

static bool rpa_of_irk(const uint8_t irk[16], const uint8_t *address)
{
	uint32_t hash;

	return irk_hash(irk, (uint32_t)(address[0] << 16 | address[1] << 8 | address[2]), &hash) == 0 &&
	       hash == (uint32_t)(address[3] << 16 | address[4] << 8 | address[5]);
}

bool irk_resolves(const uint8_t irk[16], const struct ble_address *address)
{
	uint8_t turned[16];

	if (address->bytes[0] >> 6 != 1) /* not a resolvable private address */
		return false;
	/* Tools print the key either end first; a wrong turn fits one address in 16 million by chance. */
	for (unsigned i = 0; i < 16; i++)
		turned[i] = irk[15 - i];
	return rpa_of_irk(irk, address->bytes) || rpa_of_irk(turned, address->bytes);
}

static bool has_service(const struct advert *advert, const struct uuid *uuid)
{
	for (size_t i = 0; i < advert->n_service; i++)
		if (uuid_equal(&advert->service[i].uuid, uuid))
			return true;
	for (size_t i = 0; i < advert->n_uuids; i++)
		if (uuid_equal(&advert->uuids[i], uuid))
			return true;
	return false;
}

bool match_advert(const struct match *match, const struct advert *advert)
{
	if (match->by_address && !address_equal(&match->address, &advert->address))
		return false;
	if (match->by_name && (!advert->name || strcmp(match->name, advert->name) != 0))
		return false;
	if (match->by_service && !has_service(advert, &match->service))
		return false;
	if (match->by_manufacturer && !advert_of_company(advert, match->manufacturer))
		return false;
	if (match->by_irk && !irk_resolves(match->irk, &advert->address))
		return false;
	return match->by_address || match->by_name || match->by_service || match->by_manufacturer || match->by_irk;
}
